"""Kinds of image files, told by their first bytes: whether they are whole, and the pages of a TIFF.

Decoding is OpenCV's work; here is what it does not tell.
"""

import re
import struct
from itertools import chain
from typing import NamedTuple

from util.dicom import is_dicom

ENDINGS = {  # of file names, by kind
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "DICOM": (".dcm", ".dicom", ".dic", ".ima"),
}
IMAGE_ENDINGS = tuple(chain.from_iterable(ENDINGS.values()))
OTHER_PICTURES = (".gif", ".jp2", ".heic", ".avif")  # endings of kinds that are not read
FIRST_BYTES = {  # of a file: its kind
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
# begins a segment of a JPEG, or is its end; neither one that stands among pixels (ITU T.81, B.1.1)
JPEG_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd8\xff])")


class TiffLayout(NamedTuple):
    """Where things are in a TIFF, in bytes, and how wide numbers are, as `struct` names them."""

    first_page: int  # where its offset stands
    offset: str
    tag_count: str
    tag_length: int
    value: int  # where it stands in a tag


TIFF_6 = TiffLayout(first_page=4, offset="I", tag_count="H", tag_length=12, value=8)
BIG_TIFF = TiffLayout(first_page=8, offset="Q", tag_count="Q", tag_length=20, value=12)
BIG = b"+"  # 43, where TIFF 6.0 has 42
# tags, and values of theirs
SUBFILE, REDUCED_OR_MASK = 254, 0b101
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
TIFF_LONG = 4


def without_endings(name):
    """The name of a file without its endings of images: 1405 of 1405.dcm.png, as converters name
    it."""
    while name.lower().endswith(IMAGE_ENDINGS):
        name = name.rpartition(".")[0]
    return name


def image_kind(data):
    """The kind of an image file by its first bytes: "PNG", "JPEG", ...; "unknown" for others."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if is_dicom(data):
        return "DICOM"
    return next((kind for start, kind in FIRST_BYTES.items() if data.startswith(start)), "unknown")


def is_truncated(data):
    """Tell whether a PNG, JPEG or WebP lacks its end; decoders may fill the gap with grey."""
    match image_kind(data):
        case "PNG":
            return data.rfind(b"IEND\xaeB`\x82") < 0
        case "JPEG":
            return not has_jpeg_end(data)
        case "WebP":
            return len(data) < 8 + struct.unpack("<I", data[4:8])[0]
    return False


def has_jpeg_end(data):
    """Whether a JPEG comes to its end of image, from segment to segment: a thumbnail within one has
    an end of its own, and anything may stand behind."""
    at = 2
    while marker := JPEG_MARKER.search(data, at):
        if marker[1] == b"\xd9":
            return True
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def tiff_pages(data):
    """The pages of a TIFF in order, without thumbnails and masks, each as {tag: its value, where
    that is one number} (TIFF 6.0, section 2, or BigTIFF); none for other kinds of file."""
    if image_kind(data) != "TIFF":
        return []
    order = "<" if data.startswith(b"II") else ">"
    layout = BIG_TIFF if BIG in data[:4] else TIFF_6
    pages, starts = [], set()
    try:
        (start,) = struct.unpack_from(order + layout.offset, data, layout.first_page)
        while start and start not in starts:
            starts.add(start)
            (n,) = struct.unpack_from(order + layout.tag_count, data, start)
            first = start + struct.calcsize(layout.tag_count)
            end = first + n * layout.tag_length
            tags = range(first, end, layout.tag_length)
            pages.append(dict(tiff_tag(data, at, layout.value, order) for at in tags))
            (start,) = struct.unpack_from(order + layout.offset, data, end)
    except (struct.error, OverflowError):  # the list of pages is damaged: what was read is there
        pass
    return [page for page in pages if not page.get(SUBFILE, 0) & REDUCED_OR_MASK]


def tiff_tag(data, at, value_at, order):
    tag, kind = struct.unpack_from(f"{order}HH", data, at)
    form = "I" if kind == TIFF_LONG else "H"
    (value,) = struct.unpack_from(order + form, data, at + value_at)
    return tag, value
