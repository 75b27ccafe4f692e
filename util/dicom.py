"""Films in DICOM files: their pixels as grey with light bones. pydicom does the work; it is
optional and asked for where a film needs it."""

import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from util import MOST_PIXELS
from util.errors import first_line

INSTALL = "pip install pydicom python-gdcm"  # the second for compressed films
INSTALL_HTJ2K = "pip install pylibjpeg pylibjpeg-openjpeg"  # what GDCM can't decode

# elements that say nothing where they are blank
BLANK = [
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
]
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom makes RGB of them
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")  # of a window (DICOM PS3.3, C.11.2.1.3)


class Unusable(ValueError):
    """A sound DICOM file that holds no film that can be read."""


class NotInstalled(Unusable):
    """A film that can be read once a package is installed."""


def is_dicom(data):
    """Tell a DICOM file by its bytes: 128 of any kind, then the letters DICM (DICOM PS3.10,
    7.1)."""
    return data[128:132] == b"DICM"


def is_dicom_file(path):
    """Tell a DICOM file by its first bytes, see `is_dicom`; False when it can't be read."""
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return False
        with Path(path).open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def decode_dicom(data):
    """Decode the one frame of a DICOM file to uint16 `(H, W)`, bones light on a dark ground; one in
    colour, as of a screen (secondary capture), to grey as of any picture, in most files uint8.

    Values go through the modality table, then the display's table or window, and are turned once
    where small ones are white (MONOCHROME1), in this order (DICOM PS3.4, N.2); then they are
    spread over 0-65535. What pads the film is dark and counts for nothing. Raises ValueError with
    the reason when there is no such frame, or when what is needed to decode it is not installed.
    """
    pydicom = import_pydicom()
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    try:
        film = pydicom.dcmread(BytesIO(data))
        check_frame(film)
        if film.PhotometricInterpretation in COLOURS:
            return cv2.cvtColor(film.pixel_array, cv2.COLOR_RGB2GRAY)
        drop_blanks(film)
        levels, places = levels_of(film.pixel_array)  # there are far fewer than pixels
        padded = find_padding(film, levels)
        values = apply_voi_lut(apply_modality_lut(levels, film), film)
    except Unusable:
        raise
    except Exception as error:  # pydicom has one of many kinds for each way to be damaged
        if needs_gdcm(data):  # what is installed may know the kind, but not all of it
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
    """The package pydicom, without its warnings of odd files, for which there is nothing to do.
    NotInstalled where it, or its third version, is not."""
    try:
        import pydicom
        import pydicom.pixels  # noqa: F401  since version 3
    except ImportError:
        raise NotInstalled(f"DICOM needs pydicom 3: {INSTALL}") from None
    # several threads read, so for all of them
    warnings.filterwarnings("ignore", module=r"pydicom|util\.(dicom|headers)")
    return pydicom


def levels_of(stored):
    """The values that pixels `(H, W)` hold `(n,)`, and which of them each of the pixels holds
    `(H, W)`. Pixels of more than 16 bits, which are hardly ever films, are returned as they are."""
    if stored.itemsize > 2:
        return stored, ...
    bits = stored.view(f"u{stored.itemsize}")
    held = np.bincount(bits.ravel()) > 0
    levels = np.flatnonzero(held).astype(bits.dtype).view(stored.dtype)
    return levels, (np.cumsum(held) - 1).astype(np.uint16)[bits]


def find_padding(film, levels):
    """Which of the values `(n,)` that pixels of a dataset hold are no part of the picture: the one,
    or the range, that the file names for padding (DICOM PS3.3, C.7.5.1.1.2). A file that calls all
    of them so is not believed."""
    if "PixelPaddingValue" not in film:
        return np.zeros(levels.shape, bool)
    ends = [film.PixelPaddingValue, film.get("PixelPaddingRangeLimit", film.PixelPaddingValue)]
    # some files write it signed where the pixels aren't, or the other way
    sign = np.int16 if levels.dtype.kind == "i" else np.uint16
    low, high = np.sort(np.array(ends, np.int64).astype(sign))
    padded = (levels >= low) & (levels <= high)
    return padded & ~padded.all()


def check_frame(film):
    """Raise Unusable when a dataset is not one frame that an installed decoder reads."""
    if "PixelData" not in film:
        raise Unusable("DICOM file without an image")
    if int(film.get("NumberOfFrames") or 1) > 1:
        raise Unusable(f"DICOM file of {film.NumberOfFrames} frames, where one is expected")
    if film.Rows * film.Columns > MOST_PIXELS:
        raise Unusable(f"DICOM file of {film.Columns} x {film.Rows} pixels, which no film has")
    kind = film.PhotometricInterpretation
    three_numbers = kind in COLOURS and film.SamplesPerPixel == 3 and film.BitsAllocated <= 16
    if kind not in GREY and (not three_numbers or film.PixelRepresentation):
        raise Unusable(f"DICOM file in colours that are not read ({kind})")
    if film.file_meta.TransferSyntaxUID.is_compressed:
        check_decoder(film.file_meta.TransferSyntaxUID)


def drop_blanks(film):
    """Remove elements of the display that are blank or say nothing: windows the first of which has
    no width, and functions that there are not (the window is then linear)."""
    for name in BLANK:
        if name in film and film[name].is_empty:
            delattr(film, name)
    function = str(film.get("VOILUTFunction", "LINEAR")).upper()
    if function not in FUNCTIONS:
        del film.VOILUTFunction
        function = "LINEAR"
    width = np.atleast_1d(film.get("WindowWidth", 1))[0]
    if width < 1 if function == "LINEAR" else width <= 0:  # PS3.3, C.11.2.1.2
        film.pop("WindowWidth")


def needs_gdcm(data):
    """Whether a file is compressed and GDCM, which decodes all kinds, not installed."""
    import pydicom

    try:
        head = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
        return head.file_meta.TransferSyntaxUID.is_compressed and find_spec("gdcm") is None
    except Exception:  # as above
        return False


def check_decoder(syntax):
    """Raise Unusable when nothing that is installed decodes pixels of a transfer syntax."""
    from pydicom.pixels import get_decoder

    kind = f"DICOM file compressed as {syntax.name}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise Unusable(f"{kind}, which nothing decodes: convert it") from None
    if not decoder.is_available:
        by_gdcm = any("gdcm" in package for package in decoder.missing_dependencies)
        raise NotInstalled(f"{kind}: {INSTALL if by_gdcm else INSTALL_HTJ2K}")
