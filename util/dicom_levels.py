"""The grey levels of a film in a DICOM file, as it is meant to be displayed, with light bones."""

import numpy as np

# elements that are ignored if they are blank
BLANK = [
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
]
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")  # kinds of window (DICOM PS3.3, C.11.2.1.3)
# A window is not meant for the film that leaves at most this many levels of grey, and this share of
# them, such as one of width 1, ...
FEW_LEVELS, SMALL_SHARE = 256, 1 / 8
# ... or that shows all values of some bits, from 0, while more than this share of pixels is above,
# in many levels (one may be a border, or air): the film has more bits. (Up to this share of pixels,
# no age of 150 real films was more than 3 months off.)
FULL_WIDTHS = {2**bits - less for bits in range(8, 16) for less in (0, 1)}
MOST_ABOVE = 0.02


def display_film(film, pixels):
    """Return the `pixels` `(H, W)` of a dataset as uint16, with light bones on a dark ground.

    Values go through the modality table, then the display's table or window, and are inverted if
    small values are white (MONOCHROME1), in this order (DICOM PS3.4, N.2); a window that hides the
    film is ignored. Then they are stretched to 0-65535. Padding becomes dark and does not affect
    the stretching.
    """
    drop_blanks(film)
    levels, places, counts = levels_of(pixels)  # far fewer values than pixels
    levels = drop_unused_bits(film, levels)
    padded = find_padding(film, levels)
    values = display(film, rescale(film, levels), np.where(padded, 0, counts))
    values = np.asarray(values, np.float64)
    if film.PhotometricInterpretation == "MONOCHROME1":
        values = -values
    values[padded] = values[~padded].min()
    span = np.ptp(values) or 1.0
    spread = np.rint((values - values.min()) * (65535 / span)).astype(np.uint16)
    return spread[places]


def levels_of(stored):
    """Return the different values of pixels `(H, W)` as `(n,)`, for each pixel the index of its
    value `(H, W)`, and how many pixels have each value `(n,)`. Pixels of more than 16 bits, which
    films hardly ever have, are returned as they are, with `...` for the index."""
    if stored.itemsize > 2:
        return stored, ..., np.ones(stored.shape, np.uint8)
    bits = stored.view(f"u{stored.itemsize}")
    counts = np.bincount(bits.ravel())
    held = counts > 0
    levels = np.flatnonzero(held).astype(bits.dtype).view(stored.dtype)
    return levels, (np.cumsum(held) - 1).astype(np.uint16)[bits], counts[held]


def drop_unused_bits(film, levels):
    """Return pixel values by the bits that are stored alone (DICOM PS3.5, 8.1.1): in JPEG 2000 and
    JPEG-LS pydicom 3.0 keeps what is above, such as an overlay, or zeros in place of a sign."""
    if in_other_bits(film):  # a compressed film, which is not refused: some of these are right
        return levels
    unused = max(0, 8 * levels.itemsize - film.BitsStored)
    return (levels << unused) >> unused


def in_other_bits(film):
    """Whether pixels are in other bits than the lowest, as in files of before DICOM. A `HighBit`
    that can't be is a slip, and the pixels are usual."""
    return film.BitsStored <= (film.get("HighBit") or 0) < film.BitsAllocated


def find_padding(film, levels):
    """Return a mask `(n,)` of the pixel values `levels` that are padding: the value, or the range,
    that the file gives for it (DICOM PS3.3, C.7.5.1.1.2). If this covers all values, the file is
    not believed, and no value is padding."""
    if "PixelPaddingValue" not in film:
        return np.zeros(levels.shape, bool)
    ends = [film.PixelPaddingValue, film.get("PixelPaddingRangeLimit", film.PixelPaddingValue)]
    # some files give it as signed while pixels are unsigned, or the other way round
    stored = np.dtype(f"{levels.dtype.kind}{max(2, levels.dtype.itemsize)}")
    low, high = np.sort(np.array(ends, np.int64).astype(stored))
    padded = (levels >= low) & (levels <= high)
    return padded & ~padded.all()


def drop_blanks(film):
    """Remove display elements that are blank or invalid: a window whose first width is too small,
    and an unknown function (the window is then linear)."""
    for name in BLANK:
        if name in film and film[name].is_empty:
            delattr(film, name)
    function = str(film.get("VOILUTFunction", "LINEAR")).upper()
    if function not in FUNCTIONS:
        del film.VOILUTFunction
        function = "LINEAR"
    width = float(np.atleast_1d(film.get("WindowWidth", 1))[0])
    if width < 1 if function == "LINEAR" else width <= 0:  # PS3.3, C.11.2.1.2
        film.pop("WindowWidth")


def rescale(film, levels):
    """Return pixel values through the file's modality table or rescaling."""
    from pydicom.pixels import apply_modality_lut

    if table := find_table(film, "ModalityLUTSequence"):
        return look_up(levels, table)
    return apply_modality_lut(levels, film)


def display(film, values, counts):
    """Return rescaled values `(n,)`, of `counts` pixels each, through the display's table or
    window, unless a window hides the film."""
    from pydicom.pixels import apply_voi_lut

    if table := find_table(film, "VOILUTSequence"):
        return look_up(values, table)
    film.pop("RescaleSlope", None)  # a negative one would turn what a window shows
    shown, seen = apply_voi_lut(values, film), counts > 0
    return values if hides_film(film, values[seen], shown[seen], counts[seen]) else shown


def find_table(film, name):
    """Return the first table of a sequence, None if the file has none, or one without numbers."""
    table = next(iter(film.get(name) or []), {})
    return table if table.get("LUTDescriptor") and table.get("LUTData") else None


def look_up(values, table):
    """Return whole numbers through a table (DICOM PS3.3, C.11.1.1). pydicom 3.0 does this only for
    some depths, and not for values that are further apart than their type allows."""
    entries, first, bits = table.LUTDescriptor
    entries, numbers = entries or 2**16, table.LUTData
    if isinstance(numbers, bytes):
        order = "<" if table.original_encoding[1] else ">"
        words = np.frombuffer(numbers, f"{order}u2")
        packed = bits <= 8 and len(words) <= (entries + 1) // 2  # two in a word
        numbers = words.astype("<u2").view(np.uint8) if packed else words
    numbers = np.atleast_1d(numbers)[:entries].astype(np.uint16)  # some files give them as signed
    if first >= 2**15 and np.min(values) < 0:  # and this as unsigned
        first -= 2**16
    places = np.clip(np.asarray(values, np.float64) - first, 0, len(numbers) - 1)
    return numbers[places.astype(int)]


def hides_film(film, values, shown, counts):
    """Whether a window, which shows `values` `(n,)`, of `counts` pixels each, as `shown`, is not
    meant for the film: it leaves hardly any of their levels, or is one for fewer bits."""
    if len(np.unique(shown)) <= min(FEW_LEVELS, SMALL_SHARE * len(np.unique(values))):
        return True
    centre, width = (float(np.ravel(film.get(f"Window{x}", 0))[0]) for x in ("Center", "Width"))
    if width not in FULL_WIDTHS or abs(centre - width / 2) > 1:
        return False
    above = values > centre + width / 2
    return np.average(above, weights=counts) > MOST_ABOVE and np.mean(above) > SMALL_SHARE
