"""Read films from DICOM files, as grey levels with light bones.

pydicom does the work. It is optional: users are asked to install it when a film needs it.
"""

import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2

from util import MOST_PIXELS
from util.dicom_levels import display_film, in_other_bits
from util.errors import first_line

INSTALL = "pip install pydicom python-gdcm"  # python-gdcm is for compressed films
# for what GDCM can't decode: High-Throughput JPEG 2000, and JPEG Extended of 12 bits
INSTALL_HTJ2K = "pip install pylibjpeg pylibjpeg-openjpeg"
INSTALL_12_BITS = "pip install pylibjpeg pylibjpeg-libjpeg"

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom converts them to RGB
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

    For what becomes of its grey levels see `display_film`. A frame in colour, such as a screenshot
    (secondary capture), becomes grey as any picture does, in most files as uint8.
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
        return display_film(film, pixels)
    except Unusable:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        if needs_gdcm(data):  # other decoders may know this compression, but not all of it
            raise NotInstalled(f"DICOM file that could not be decoded: {INSTALL}") from None
        raise ValueError(f"damaged DICOM file: {first_line(error)}") from None


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
