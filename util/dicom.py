"""Read films from DICOM files, as grey levels with light bones.

pydicom does the work. It is optional: users are asked to install it when a film needs it.
"""

import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from util import MOST_PIXELS
from util.errors import first_line

INSTALL = "pip install pydicom python-gdcm"  # python-gdcm is for compressed films
# for what GDCM can't decode: High-Throughput JPEG 2000, and JPEG Extended of 12 bits
INSTALL_HTJ2K = "pip install pylibjpeg pylibjpeg-openjpeg"
INSTALL_12_BITS = "pip install pylibjpeg pylibjpeg-libjpeg"

# elements that are ignored if they are blank
BLANK = [
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
]
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom converts them to RGB
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")  # kinds of window (DICOM PS3.3, C.11.2.1.3)
# A window is not meant for the film that leaves at most this many levels of grey, and this share of
# them, such as one of width 1, ...
FEW_LEVELS, SMALL_SHARE = 256, 1 / 8
# ... or that shows all values of some bits, from 0, while more than this share of pixels is above,
# in many levels (one may be a border, or air): the film has more bits. (Up to this share of pixels,
# no age of 150 real films was more than 3 months off.)
FULL_WIDTHS = {2**bits - less for bits in range(8, 16) for less in (0, 1)}
MOST_ABOVE = 0.02

# what a file without the preamble begins with: the number of an element of group 0008, by its type
FIRST_ELEMENTS = {
    b"\x08\x00" + bytes([low, 0]): kind
    for low, kind in ((0x00, b"UL"), (0x01, b"UL"), (0x05, b"CS"), (0x08, b"CS"), (0x16, b"UI"))
}
MOST_BYTES = 128  # of that element


class Unusable(ValueError):
    """A valid DICOM file without a film that can be read."""


class NotInstalled(Unusable):
    """A film that can be read once a package is installed."""


def is_dicom(data):
    """Whether bytes are those of a DICOM file: any 128 bytes, then the letters DICM (DICOM PS3.10,
    7.1), or, from old archives, the elements without them."""
    return data[128:132] == b"DICM" or begins_with_elements(data)


def begins_with_elements(data):
    """Whether bytes begin with one of FIRST_ELEMENTS: number, then type and length, or, in implicit
    VR, the length alone, which is even, and 4 for numbers (DICOM PS3.5, 7.1)."""
    kind = FIRST_ELEMENTS.get(data[:4])
    if kind is None or len(data) < 8:
        return False
    length = int.from_bytes(data[4:8], "little")
    fits = length == 4 if kind == b"UL" else 0 < length <= MOST_BYTES and length % 2 == 0
    return data[4:6] == kind or fits


def is_dicom_file(path):
    """Whether a file is DICOM by its first bytes, see `is_dicom`; False if it can't be read."""
    path = Path(path)
    try:
        if not path.is_file():  # opening a pipe would block
            return False
        with path.open("rb", buffering=0) as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def decode_dicom(data):
    """Return the only frame of a DICOM file as uint16 `(H, W)`, with light bones on a dark ground.

    Values go through the modality table, then the display's table or window, and are inverted if
    small values are white (MONOCHROME1), in this order (DICOM PS3.4, N.2); a window that hides the
    film is ignored. Then they are stretched to 0-65535. Padding becomes dark and does not affect
    the stretching. A frame in colour, such as a screenshot (secondary capture), becomes grey as any
    picture does, in most files as uint8.
    Raises ValueError with the reason if the file is damaged or not a single frame, or if a package
    needed to decode it is not installed.
    """
    import_pydicom()
    try:
        film = read_dicom(BytesIO(data))
        check_frame(film)
        pixels = pixels_of(film)
        if pixels.ndim == 3:
            return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        drop_blanks(film)
        levels, places, counts = levels_of(pixels)  # far fewer values than pixels
        levels = drop_unused_bits(film, levels)
        padded = find_padding(film, levels)
        values = display(film, rescale(film, levels), np.where(padded, 0, counts))
    except Unusable:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        if needs_gdcm(data):  # other decoders may know this compression, but not all of it
            raise NotInstalled(f"DICOM file that could not be decoded: {INSTALL}") from None
        raise ValueError(f"damaged DICOM file: {first_line(error)}") from None
    values = np.asarray(values, np.float64)
    if film.PhotometricInterpretation == "MONOCHROME1":
        values = -values
    values[padded] = values[~padded].min()
    span = np.ptp(values) or 1.0
    spread = np.rint((values - values.min()) * (65535 / span)).astype(np.uint16)
    return spread[places]


def import_pydicom():
    """Return the package pydicom, and silence its warnings about odd files, as users can do nothing
    about them. Raises NotInstalled if pydicom 3 is missing."""
    try:
        import pydicom
        import pydicom.pixels  # noqa: F401  since version 3
    except ImportError:
        raise NotInstalled(f"DICOM needs pydicom 3: {INSTALL}") from None
    # for the whole process, as several threads read films
    warnings.filterwarnings("ignore", module=r"pydicom|util\.(dicom|headers)")
    return pydicom


def read_dicom(source, **options):
    """Read a DICOM file, from its path or bytes, with or without the preamble, by `dcmread`. A file
    that doesn't give its transfer syntax is taken as not compressed."""
    pydicom = import_pydicom()
    film = pydicom.dcmread(source, force=True, **options)
    if "TransferSyntaxUID" not in film.file_meta:
        implicit, _ = film.original_encoding
        film.file_meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        )
    return film


def pixels_of(film):
    """Return the pixels of a frame, `(H, W)`, in colour `(H, W, 3)`. Raises Unusable if there are
    more of them than the header says: pydicom takes them for further frames."""
    pixels = film.pixel_array
    if pixels.ndim != (3 if film.PhotometricInterpretation in COLOURS else 2):
        raise Unusable(
            f"DICOM file whose pixels do not fit its header ({film.Columns} x {film.Rows} of "
            f"{film.BitsAllocated} bits)"
        )
    return pixels


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


def check_frame(film):
    """Raise Unusable if a dataset is not a single frame that an installed decoder reads."""
    if "PixelData" not in film:
        raise Unusable("DICOM file without an image")
    if int(film.get("NumberOfFrames") or 1) > 1:
        raise Unusable(f"DICOM file with {film.NumberOfFrames} frames instead of one")
    if film.Rows * film.Columns > MOST_PIXELS:
        raise Unusable(f"DICOM file of {film.Columns} x {film.Rows} pixels, which no film has")
    kind = film.PhotometricInterpretation
    three_numbers = kind in COLOURS and film.SamplesPerPixel == 3 and film.BitsAllocated <= 16
    if kind not in GREY and (not three_numbers or film.PixelRepresentation):
        raise Unusable(f"DICOM file in unsupported colours ({kind})")
    if film.file_meta.TransferSyntaxUID.is_compressed:
        check_decoder(film)
    elif in_other_bits(film):
        raise Unusable(
            f"DICOM file with pixels in other bits than usual (HighBit {film.HighBit} with "
            f"BitsStored {film.BitsStored}): convert it"
        )


def in_other_bits(film):
    """Whether pixels are in other bits than the lowest, as in files of before DICOM. A `HighBit`
    that can't be is a slip, and the pixels are usual."""
    return film.BitsStored <= (film.get("HighBit") or 0) < film.BitsAllocated


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


def needs_gdcm(data):
    """Whether a file is compressed and GDCM, which decodes nearly all kinds, is not installed."""
    try:
        head = read_dicom(BytesIO(data), stop_before_pixels=True)
        return head.file_meta.TransferSyntaxUID.is_compressed and find_spec("gdcm") is None
    except Exception:  # damaged, as in `decode_dicom`
        return False


def check_decoder(film):
    """Raise Unusable if no installed decoder reads the compressed pixels of a dataset."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    syntax = film.file_meta.TransferSyntaxUID
    kind = f"DICOM file compressed as {syntax.name}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Unusable(f"{kind}, which has no decoder: convert it") from None
    if syntax == JPEGExtended12Bit and film.BitsStored > 8:  # the other decoders know 8 bits alone
        if "pylibjpeg" not in decoder.available_plugins:
            raise NotInstalled(f"{kind} of 12 bits: {INSTALL_12_BITS}")
    elif not decoder.is_available:
        by_gdcm = any("gdcm" in package for package in decoder.missing_dependencies)
        raise NotInstalled(f"{kind}: {INSTALL if by_gdcm else INSTALL_HTJ2K}")
