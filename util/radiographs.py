"""The one reader of radiographs: a file of any supported kind becomes uint8 grey, 0-255.

`read_radiograph` returns a film at its own size, `read_canvases` the squares that models see. All
code that looks at films uses these functions or their parts, so it always sees the same pixels.
"""

import stat
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hand_crop.localiser import find_hands, look_closer
from hand_crop.network import shrink
from hand_crop.orientation import orientations
from util import MOST_PIXELS
from util.dicom import NotInstalled, decode_dicom
from util.errors import UserError, first_line
from util.image_kinds import (
    COMPRESSION,
    DECODED,
    ENDINGS,
    NOT_COMPRESSED,
    PHOTOMETRIC,
    WHITE_IS_ZERO,
    becomes_scrap,
    image_kind,
    is_animated,
    is_truncated,
    tiff_pages,
)
from util.oddities import Oddities

FITS = ("hand", "stretch", "pad")
STRETCHED = (0.005, 0.995)  # the greys at these shares of the pixels become 0 and 255
# a film is pale if most greys of its middle (from the 2nd to the 98th percentile, with the share
# MIDDLE left out at each side) span fewer than PALE levels
MIDDLE, MOST_GREYS, PALE = 0.15, (0.02, 0.98), 100
# how the reasons of a RadiographError begin; UNREADABLE: the system could not read the file
UNREADABLE, EMPTY, TRUNCATED = "can't be read", "empty file", "truncated file"
NO_IMAGE, TOO_SMALL, NO_CONTRAST = "not a readable image", "too small", "no contrast"
NO_MEMORY = f"{UNREADABLE}: out of memory"
MOST_BYTES = 10 * MOST_PIXELS  # of a file: 16 bits of red, green, blue and alpha, and a header
MIN_SIDE = 16  # pixels; anything smaller is no radiograph
FEWEST_GREYS = 8  # black and white would get an age too; the poorest of 12,000 real films has 36
# For a bad file we print one line that names it: OpenCV's own complaints are switched off.
(cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging).setLogLevel(0)  # OpenCV 5 moved it


class RadiographError(UserError):
    """A file that can't be used as a radiograph: `reason` says why; `temporary` is True if the
    unchanged file may be readable later."""

    def __init__(self, path, reason, temporary=False):
        super().__init__(f"{reason} ({path}). Replace the file or leave it out.")
        self.reason = reason
        self.temporary = temporary


def read_radiograph(path):
    """Read a film as uint8 `(H, W)`, stretched to 0-255.

    Raises RadiographError when the file is missing, empty, truncated, no image, or without
    contrast.
    """
    return prepare(read_image(path), path)


def prepare(image, path="bytes", fewest=FEWEST_GREYS):
    """Stretch a decoded image `(H, W)` to uint8, 0-255; RadiographError when it is too small for a
    radiograph, without contrast, or has fewer than `fewest` levels of grey."""
    if min(image.shape) < MIN_SIDE:
        raise RadiographError(path, f"{TOO_SMALL}: {image.shape[1]} x {image.shape[0]} pixels")
    counts = count_greys(image)
    greys = np.count_nonzero(counts)
    if greys == 1:
        raise RadiographError(path, f"{NO_CONTRAST}: every pixel is {image[0, 0]}")
    if greys < fewest:
        raise RadiographError(path, f"only {greys} levels of grey: no radiograph")
    return stretch_contrast(image, counts)


class PreparedFilm(NamedTuple):
    """A film as the models see it: uint8 `(size, size)`, 0-255, and what is odd about it."""

    image: np.ndarray
    oddities: Oddities


def read_canvases(paths, size, fit):
    """Read films onto the square canvas of the models.

    Returns for each film, in order, a PreparedFilm, or the RadiographError that says why there is
    none. Reading a few films at once is quicker than one by one (see `find_hands`), but all of them
    are held in memory.
    """
    results = [read_or_error(path) for path in paths]
    good = [i for i, result in enumerate(results) if not isinstance(result, RadiographError)]
    pairs = [results[i] for i in good]
    small = [shrink(film) for _, film in pairs]
    turned, inverted = (part.tolist() for part in orientations(small))
    if fit == "hand":
        for i, odd in enumerate(zip(turned, inverted, strict=True)):
            if any(odd):
                pairs[i] = [set_right(image, *odd) for image in pairs[i]]
                small[i] = shrink(pairs[i][1])
        films = cut_to_hands(pairs, small)
    else:
        films = [(film, False, False) for _, film in pairs]
    for i, (film, whole, unlike), degrees, dark in zip(good, films, turned, inverted, strict=True):
        canvas = to_canvas(film, size, fit)
        odd = Oddities(whole, degrees, dark, unlike, is_pale(canvas))
        results[i] = PreparedFilm(canvas, odd)
    return results


def read_or_error(path):
    """Return (film as decoded, film after `prepare`), or the RadiographError."""
    try:
        image = read_image(path)
        return image, prepare(image, path)
    except RadiographError as error:
        return error
    except MemoryError:
        return RadiographError(path, NO_MEMORY, temporary=True)


def set_right(image, degrees, inverted):
    """Turn a film `(H, W)` back by `degrees` (0, 90, 180 or 270), and invert its greys if it is
    `inverted`."""
    return np.ascontiguousarray(np.rot90(~image if inverted else image, -(degrees // 90)))


def cut_to_hands(films, small=None):
    """Cut films to the hand.

    Each of `films` is a pair: the image as decoded, and after `prepare`. `small` is the list of the
    latter as `shrink` returns them, if known. Returns three values for each: the film, uint8
    `(H, W)`, stretched to 0-255 within the cut; whether it was left whole, because no hand was
    found for certain; and whether it looks unlike a hand.
    """
    small = small or [shrink(film) for _, film in films]
    prepared = [film for _, film in films]
    boxes, unlike = find_hands(small, [film.shape for film in prepared])
    boxes, unlike = look_closer(prepared, boxes, unlike)
    return [(*cut_to(box, *pair), odd) for box, pair, odd in zip(boxes, films, unlike, strict=True)]


def cut_to(box, image, film):
    if box is None:
        return film, True
    left, top, right, bottom = box
    try:
        return prepare(image[top:bottom, left:right], fewest=2), False
    except RadiographError:  # what was found is no hand
        return film, True


def read_image(path):
    """Read a film as it is stored: grey `(H, W)`, uint8 or uint16, see `decode`; RadiographError
    when it can't be read."""
    return decode(read_bytes(path), path)


def read_bytes(path):
    """Return the bytes of a file; RadiographError when it can't be read, is larger than films are,
    or is none, see `check_regular`."""
    try:
        check_regular(path)
        if Path(path).stat().st_size > MOST_BYTES:
            raise RadiographError(path, "larger than any film")
        return Path(path).read_bytes()
    except OSError as error:
        reason = f"{UNREADABLE}: {first_line(error)}"
        raise RadiographError(path, reason, temporary=True) from None


def check_regular(path):
    """RadiographError if a path is not that of a regular file: reading a pipe could wait for ever,
    and some devices have no end. OSError if there is nothing."""
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise RadiographError(path, f"{UNREADABLE}: no regular file")


def decode(data, path):
    """Decode the bytes of an image file to grey `(H, W)`, uint8 or uint16 as stored.

    The kind is recognised by content, never by name. RGB, RGBA and palette images become grey; for
    DICOM see `decode_dicom`. RadiographError when the file can't be decoded.
    """
    if not data:
        raise RadiographError(path, EMPTY)
    kind = image_kind(data)
    if is_truncated(data, kind):
        raise RadiographError(path, TRUNCATED)
    if is_animated(data, kind):
        raise RadiographError(path, f"{kind} with several frames instead of one")
    if kind == "DICOM":
        try:
            return decode_dicom(data)
        except ValueError as error:
            raise RadiographError(path, str(error), isinstance(error, NotInstalled)) from None
    position, page = only_page(data, path) if kind == "TIFF" else (0, {})
    # OpenCV knows other kinds
    image = decode_picture(data, path, position) if kind != "unknown" else None
    if image is None:
        raise RadiographError(path, f"{NO_IMAGE} ({', '.join(ENDINGS)})")
    if image.dtype not in (np.uint8, np.uint16):
        raise RadiographError(path, f"unsupported pixel type {image.dtype}")
    if becomes_scrap(page, image.dtype == np.uint16):
        raise RadiographError(
            path, "TIFF of a kind that is not read: save it as grey without alpha"
        )
    if image.dtype == np.uint16 and page.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        image = 65535 - image  # OpenCV itself inverts 8 bits alone
    return image


def only_page(data, path):
    """Return the position and the tags of the page of a TIFF; RadiographError when it has several
    pages, or is compressed in a way of which OpenCV would make a black film."""
    pages = tiff_pages(data)
    if len(pages) > 1:
        raise RadiographError(path, "TIFF with several pages instead of one")
    position, page = next(iter(pages.items()), (0, {}))
    if page.get(COMPRESSION, NOT_COMPRESSED) not in DECODED:
        raise RadiographError(
            path, "TIFF compressed in a way that is not read: save it without compression"
        )
    return position, page


def decode_picture(data, path, page):
    """Return the pixels of a file, or of a page of it, None if OpenCV can't decode it;
    RadiographError if they are too many, for OpenCV (see MOST_PIXELS) or for memory."""
    pixels = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    data = np.frombuffer(data, np.uint8)
    try:
        if page == 0:
            return cv2.imdecode(data, pixels)
        decoded, images = cv2.imdecodemulti(data, pixels, range=(page, page + 1))
        return images[0] if decoded else None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise RadiographError(path, NO_MEMORY, temporary=True) from None
        if "MAX_IMAGE_PIXELS" in str(error):
            raise RadiographError(path, "more pixels than any film has") from None
        return None  # the header says what no image has, such as a height below 0


def stretch_contrast(image, counts=None):
    """Stretch a uint8 or uint16 image `(H, W)` so that the 0.5th and 99.5th percentiles of its
    greys become 0 and 255: films of any depth and exposure get the same range. Returns uint8.
    `counts` are those of `count_greys`, if they are known."""
    levels = np.iinfo(image.dtype).max + 1
    low, high = greys_at(count_greys(image) if counts is None else counts, STRETCHED)
    if high <= low:  # nearly every pixel is alike: what differs is in the tails
        low, high = int(image.min()), int(image.max())
    span = max(high - low, 1)  # a film of one grey level becomes black
    ramp = (np.arange(levels, dtype=np.float32) - low) * (255 / span)
    table = np.clip(np.rint(ramp), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table) if levels == 256 else table[image]


def greys_at(counts, shares):
    """Return, as a list, the quantiles `shares` (0-1) of greys, given their `count_greys`."""
    below = np.cumsum(counts, dtype=np.float64)
    return np.searchsorted(below / below[-1], shares).tolist()


def count_greys(image):
    """Return how many pixels of a uint8 or uint16 image `(H, W)` have each level of grey."""
    levels = np.iinfo(image.dtype).max + 1
    return cv2.calcHist([image], [0], None, [levels], [0, levels]).ravel()


def is_pale(canvas):
    """Whether the middle of a canvas, uint8 `(S, S)`, where the hand is, has little contrast, for
    example because a light background or a marker takes up most of the greys."""
    edge = round(MIDDLE * len(canvas))
    low, high = greys_at(count_greys(canvas[edge:-edge, edge:-edge]), MOST_GREYS)
    return high - low < PALE


def border_level(image):
    """The grey level of a film's own border: the median of its outermost pixels."""
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return int(np.median(edges))


def to_canvas(image, size, fit):
    """Bring a film to a square of `size` pixels: uint8 `(size, size)`.

    `fit="pad"` keeps the aspect ratio and fills up with the film's border level. "stretch" and
    "hand" squeeze the film into the square; for "hand" it has been cut already. UserError for any
    other fit.
    """
    if fit not in FITS:
        raise UserError(f"unknown fit (--fit {fit}). Known: {', '.join(FITS)}.")
    height, width = image.shape
    if fit != "pad" or height == width:
        return resize(image, size, size)
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.full((size, size), border_level(image), np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    canvas[top : top + new_height, left : left + new_width] = resize(image, new_height, new_width)
    return canvas


def resize(image, height, width):
    """Resize by area averages when shrinking (no aliasing), linearly when enlarging; where one side
    shrinks and the other grows, OpenCV does both linearly."""
    shrinks = height < image.shape[0] or width < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)
