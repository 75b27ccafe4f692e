"""The kind of an image file by its first bytes, whether it is complete, and its frames or pages.

OpenCV decodes the images; this module finds what OpenCV doesn't report.
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
FIRST_BYTES = {  # the kind of a file by these
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
# begins a segment of a JPEG or ends it; not a marker within the pixel data (ITU T.81, B.1.1)
JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")


class TiffLayout(NamedTuple):
    """Where things are in a TIFF, in bytes, and how wide its numbers are, as `struct` formats."""

    first_page: int  # where the offset of the first page is
    offset: str
    tag_count: str
    tag_length: int
    value: int  # where the value is within a tag


TIFF_6 = TiffLayout(first_page=4, offset="I", tag_count="H", tag_length=12, value=8)
BIG_TIFF = TiffLayout(first_page=8, offset="Q", tag_count="Q", tag_length=20, value=12)
BIG = b"+"  # version 43; TIFF 6.0 has 42
MOST_PAGES, MOST_TAGS = 1000, 1000  # of a file, and of a page, that are read: films have one and 20
# tags, each with a value or a mask of values
SUBFILE, REDUCED_OR_MASK = 254, 0b101
COMPRESSION, NOT_COMPRESSED = 259, 1
# CCITT (2 to 4), LZW, JPEG (6, 7), Deflate (8, 32946), PackBits
DECODED = (NOT_COMPRESSED, 2, 3, 4, 5, 6, 7, 8, 32773, 32946)
PHOTOMETRIC, WHITE_IS_ZERO, BLACK_IS_ZERO = 262, 0, 1
WIDTH, SAMPLES, TILE_WIDTH = 256, 277, 322
PLANES, SEPARATE = 284, 2
TIFF_LONG = 4
WEBP_ANIMATION = 2  # flag


def without_endings(name):
    """Return a file name without image endings: 1405.dcm.png, as converters name it, becomes
    1405."""
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


def is_animated(data, kind):
    """Whether a file of a kind is a PNG (by a chunk before the pixels) or WebP (by a flag of the
    header) of several frames: OpenCV would decode the first alone."""
    match kind:
        case "PNG":
            at = data.find(b"\0\0\0\x08acTL", 0, data.find(b"IDAT"))
            return at >= 0 and int.from_bytes(data[at + 8 : at + 12], "big") > 1
        case "WebP":
            flags = int.from_bytes(data[20:21], "little")
            animated = data[12:16] == b"VP8X" and flags & WEBP_ANIMATION
            return bool(animated) and data.count(b"ANMF") > 1
    return False


def is_truncated(data, kind):
    """Whether a file of a kind, PNG, JPEG or WebP, lacks its end; decoders may fill the gap with
    grey."""
    match kind:
        case "PNG":
            return data.rfind(b"IEND\xaeB`\x82") < 0
        case "JPEG":
            return not has_jpeg_end(data)
        case "WebP":
            return len(data) < 8 + struct.unpack("<I", data[4:8])[0]
    return False


def has_jpeg_end(data):
    """Whether a JPEG has an end-of-image marker, searched for segment by segment: an embedded
    thumbnail has an end of its own, and anything may follow the image."""
    at = 2
    while marker := JPEG_MARKER.search(data, at):
        if marker[1] == b"\xd9":
            return True
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def tiff_pages(data):
    """Return {position: page} of the first pages of a TIFF in order, without thumbnails and masks.

    Each page is {tag: value}, and a value is valid only if it is a single number (TIFF 6.0, section
    2, or BigTIFF).
    """
    order = "<" if data.startswith(b"II") else ">"
    layout = BIG_TIFF if BIG in data[:4] else TIFF_6
    pages, starts = [], set()
    try:
        (start,) = struct.unpack_from(order + layout.offset, data, layout.first_page)
        while start and start not in starts and len(pages) < MOST_PAGES:
            starts.add(start)
            (n,) = struct.unpack_from(order + layout.tag_count, data, start)
            first = start + struct.calcsize(layout.tag_count)
            end = first + n * layout.tag_length
            tags = range(first, end, layout.tag_length)[:MOST_TAGS]
            pages.append(dict(tiff_tag(data, at, layout.value, order) for at in tags))
            (start,) = struct.unpack_from(order + layout.offset, data, end)
    except (struct.error, OverflowError):  # the list of pages is damaged: keep those read so far
        pass
    return {k: page for k, page in enumerate(pages) if not page.get(SUBFILE, 0) & REDUCED_OR_MASK}


def becomes_scrap(page, deep):
    """Whether OpenCV decodes a page of a TIFF wrongly: colours in planes of 16 bits (`deep`: it
    made 16 bits of the page), or grey with alpha in planes, or in tiles that reach beyond it."""
    if page.get(SAMPLES, 1) == 1:
        return False
    grey = page.get(PHOTOMETRIC, BLACK_IS_ZERO) in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    if page.get(PLANES) == SEPARATE:
        return grey or deep
    return grey and page.get(WIDTH, 0) % page.get(TILE_WIDTH, 1) > 0


def tiff_tag(data, at, value_at, order):
    tag, kind = struct.unpack_from(f"{order}HH", data, at)
    form = "I" if kind == TIFF_LONG else "H"
    (value,) = struct.unpack_from(order + form, data, at + value_at)
    return tag, value
