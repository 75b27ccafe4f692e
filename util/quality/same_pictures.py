"""Films that show the same picture, even if it was saved again in another size, kind or brightness.

A hash of 256 bits finds the candidates among all pairs; a small picture of the details decides.
Crops, mirrored and inverted copies are not found.
"""

import cv2
import numpy as np
import pandas as pd

from util.identity import groups_of
from util.radiographs import resize

# Chosen on 12,000 real films, 150 of them also available at native size. All of 500 copies (JPEG
# quality 40, half size, brighter, darker or 16 bit) differ by at most 46 bits and correlate by at
# least 0.90. Of the 72 million pairs of different hands, 194,000 differ by at most 52 bits; none of
# these correlates by more than 0.853.
HASH_BITS, COPY_BITS = 256, 52
COPY_CORRELATION = 0.90
THUMBNAIL = 64  # pixels
CHUNK = 512  # films or pairs compared at once, so that memory stays flat


def difference_hash(image):
    """Return 256 bits of a film, uint8 `(H, W)`: whether each of 16 x 16 areas is darker than the
    one to its right (dHash). Another size, aspect ratio, depth, brightness or compression hardly
    changes them."""
    small = resize(image, 16, 17)
    return (small[:, 1:] > small[:, :-1]).ravel()


def thumbnail(image):
    """Return a small picture of the details of a film, uint8 `(H, W)`, as a vector of length 1.

    Each pixel is in SDs of its surroundings: otherwise the bright frames that many films have would
    make different hands alike.
    """
    small = resize(image, THUMBNAIL, THUMBNAIL).astype(np.float32)
    small -= cv2.GaussianBlur(small, (0, 0), 2)
    small /= np.sqrt(cv2.GaussianBlur(small**2, (0, 0), 2)) + 10  # 10 grey levels: noise stays low
    small -= small.mean()
    return (small / (np.linalg.norm(small) + 1e-9)).ravel().astype(np.float16)


def similar_pairs(films):
    """Yield the pairs of films that show the same picture: (i, j, correlation), i < j."""
    signs = np.array([film.bits for film in films]) * np.float32(2) - 1
    for start in range(0, len(films), CHUNK):
        differing = (HASH_BITS - signs[start : start + CHUNK] @ signs[start:].T) / 2
        left, right = np.nonzero(np.triu(differing <= COPY_BITS, k=1))
        for part in range(0, len(left), CHUNK):
            i, j = (start + ends[part : part + CHUNK] for ends in (left, right))
            ones, place = np.unique(i, return_inverse=True)  # a film may be in many pairs
            a, b = (np.array([films[k].thumbnail for k in ends], np.float32) for ends in (ones, j))
            correlation = np.einsum("ij,ij->i", a[place], b)
            for k in np.flatnonzero(correlation >= COPY_CORRELATION):
                yield int(i[k]), int(j[k]), float(correlation[k])


def same_pictures(rows, films):
    """Return the rows whose film shows the same picture as another row's, with three more columns:
    group (numbered from 1, those across splits first), match ("exact" or "re-encoded") and
    correlation.

    `films[i]` is the Film of row i.
    """
    pairs, first, copied = [], {}, set()
    for i, film in enumerate(films):
        if not film.reason and (one := first.setdefault(film.digest, i)) != i:
            pairs.append((one, i))
            copied |= {one, i}
    likeness = dict.fromkeys(copied, 1.0)
    unique = list(first.values())
    for a, b, correlation in similar_pairs([films[i] for i in unique]):
        pairs.append((unique[a], unique[b]))
        for k in pairs[-1]:
            likeness[k] = max(likeness.get(k, 0), correlation)
    return number_groups(rows, groups_of(pairs, len(films)), copied, likeness)


def number_groups(rows, groups, copied, likeness):
    """Return the rows that share their group with another row, sorted and numbered by group."""
    rows = rows.assign(
        group=groups,
        match=["exact" if i in copied else "re-encoded" for i in range(len(rows))],
        correlation=[round(likeness.get(i, 0), 3) for i in range(len(rows))],
    )
    rows = rows[rows.duplicated("group", keep=False)]
    across = rows.groupby("group")["split"].transform("nunique") > 1
    rows = rows.assign(across=across).sort_values(["across", "group"], ascending=[False, True])
    return rows.assign(group=pd.factorize(rows["group"])[0] + 1)
