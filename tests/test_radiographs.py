"""The one reader: every kind of file, and files that are broken."""

import struct
import time
import zlib

import cv2
import numpy as np
import pytest

from util.errors import UserError
from util.image_kinds import image_kind
from util.oddities import Oddities, film_notes, format_counts, oddity_notes
from util.phantoms import draw_phantom
from util.pixel_cache import read_pixels
from util.radiographs import (
    FITS,
    RadiographError,
    decode,
    prepare,
    read_canvases,
    read_radiograph,
    to_canvas,
)


def film(height=120, width=90, depth=np.uint8):
    """A bright blob on a dark ground, with some texture, over the middle of the range."""
    y, x = np.mgrid[:height, :width]
    blob = np.exp(-(((y - height / 2) / 30) ** 2) - ((x - width / 2) / 20) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.02, (height, width))
    return ((0.2 + 0.5 * blob + noise).clip(0, 1) * np.iinfo(depth).max).astype(depth)


def save(path, image):
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


@pytest.mark.parametrize("ending", [".jp2", ".pgm"])
def test_kinds_that_are_not_named_are_refused(tmp_path, ending):
    """OpenCV reads them, by decoders that few need and in which others found holes."""
    path = save(tmp_path / f"film{ending}", film())
    with pytest.raises(RadiographError, match="not a readable image"):
        read_radiograph(path.rename(tmp_path / "film.png"))


def test_a_fit_that_there_is_not_is_an_error():
    with pytest.raises(UserError, match="unknown fit .*Hand.* Known: hand, stretch, pad"):
        to_canvas(film(), 64, "Hand")


# NewSubfileType in a TIFF: a page of several, and a smaller copy of another page
PAGE, THUMBNAIL = (struct.pack("<HHII", 254, 4, 1, kind) for kind in (2, 1))


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
def test_reads_every_kind_as_grey_over_the_full_range(tmp_path, ending):
    image = read_radiograph(save(tmp_path / f"film{ending}", film()))
    assert image.shape == (120, 90)
    assert image.dtype == np.uint8
    assert image.min() == 0
    assert image.max() == 255


def test_kind_is_told_by_content_not_by_name(tmp_path):
    png = save(tmp_path / "film.png", film())
    renamed = tmp_path / "film.jpg"
    renamed.write_bytes(png.read_bytes())
    assert np.array_equal(read_radiograph(png), read_radiograph(renamed))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_files_are_read_as_their_grey(tmp_path, channels):
    grey = film()
    colours = np.dstack([grey] * 3 + [np.full_like(grey, 255)] * (channels - 3))
    expected = read_radiograph(save(tmp_path / "grey.png", grey))
    got = read_radiograph(save(tmp_path / "colour.png", colours))
    assert np.abs(expected.astype(int) - got).max() <= 1


def test_16_bit_film_and_its_8_bit_twin_look_alike(tmp_path):
    deep = film(depth=np.uint16)
    shallow = (deep // 257).astype(np.uint8)
    a = read_radiograph(save(tmp_path / "deep.png", deep)).astype(int)
    b = read_radiograph(save(tmp_path / "shallow.png", shallow))
    assert np.abs(a - b).max() <= 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_a_tiff_whose_zero_is_white_is_turned(depth, order, big, tmp_path):
    image = film(depth=depth)
    light, dark = tmp_path / "light.tif", tmp_path / "dark.tif"
    light.write_bytes(tiff([image], order, 1, big))
    dark.write_bytes(tiff([np.iinfo(depth).max - image], order, 0, big))
    assert np.array_equal(read_radiograph(light), read_radiograph(dark))
    assert image_kind(dark.read_bytes()) == "TIFF"


def tiff(images, order="<", photometric=1, big=False, kinds=(0, 0), more=()):
    """An uncompressed TIFF, or BigTIFF, of grey `(H, W)` pages of one strip each; `order` is that
    of its bytes, `kinds` are the NewSubfileTypes of the pages, `more` are tags {tag: numbers} that
    count before the usual ones."""
    start = {"<": b"II", ">": b"MM"}[order]
    data = start + (struct.pack(f"{order}3H", 43, 8, 0) if big else struct.pack(f"{order}H", 42))
    offset, number, head = (
        f"{order}{form}" for form in (("Q", "Q", "HHQ") if big else ("I", "H", "HHI"))
    )
    for image, kind in zip(images, kinds, strict=False):
        pixels = image.astype(image.dtype.newbyteorder(order)).tobytes()
        at, (height, width) = len(data) + struct.calcsize(offset), image.shape
        tags = {254: kind, 256: width, 257: height, 258: 8 * image.dtype.itemsize, 259: 1}
        tags |= {262: photometric, 273: at, 277: 1, 278: height, 279: len(pixels)} | dict(more)
        data += struct.pack(offset, at + len(pixels)) + pixels + struct.pack(number, len(tags))
        for tag, numbers in tags.items():
            values = np.atleast_1d(numbers).astype(f"{order}u2").tobytes()
            data += struct.pack(head, tag, 3, np.size(numbers))
            data += values.ljust(struct.calcsize(offset), b"\0")
    return data + bytes(struct.calcsize(offset))


def test_a_big_tiff_of_several_pages_is_no_film(tmp_path):
    path = tmp_path / "film.tif"
    path.write_bytes(tiff([film(), film()], big=True))
    with pytest.raises(RadiographError, match="TIFF with several pages instead of one"):
        read_radiograph(path)


def test_a_tiff_of_endless_pages_is_refused_at_once():
    """Each page is nearly all of the file, which would take minutes to read."""
    pages, length = 10_000, 65_535 * 12
    data = bytearray(8 + length + 2 + 4 + 12 * pages)
    struct.pack_into("<2sHI", data, 0, b"II", 42, 8)
    for page in range(pages):
        at = 8 + 12 * page
        struct.pack_into("<H", data, at, 65_535)
        struct.pack_into("<I", data, at + 2 + length, at + 12)
    with pytest.raises(RadiographError, match="several pages"):
        decode(bytes(data), "film.tif")


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("photometric", "samples"), [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4)]
)
@pytest.mark.parametrize("layout", ["strip", "planes", "tile", "wider tile"])
def test_a_tiff_that_opencv_decodes_to_scrap_is_refused(
    tmp_path, depth, photometric, samples, layout
):
    """Colours in planes of 16 bits, and grey with alpha in planes or in a tile that reaches beyond
    the film; the others are read."""
    colours = 3 if photometric == 2 else 1
    image, path = film(64, 48, depth), tmp_path / "film.tif"
    stored = [image if photometric else ~image] * colours
    stored += [~np.zeros_like(image)] * (samples - colours)  # opaque
    more = {256: 48, 257: 64, 262: photometric, 277: samples}
    more |= {338: [2] + [0] * (samples - colours - 1)} if samples > colours else {}
    pixels = np.dstack(stored).reshape(64, -1)
    if layout == "planes":
        pixels, starts = np.vstack(stored), 16 + np.arange(samples) * image.nbytes
        more |= {273: starts, 278: 64, 279: [image.nbytes] * samples, 284: 2}
    elif layout != "strip":
        wide = 64 if layout == "wider tile" else 48
        pixels = np.pad(pixels, ((0, 0), (0, samples * (wide - 48))))
        more |= {322: wide, 323: 64, 324: 16, 325: pixels.nbytes}
    path.write_bytes(tiff([pixels], big=True, more=more))
    grey = photometric < 2
    if (layout == "planes" and (grey or depth == np.uint16)) or (layout == "wider tile" and grey):
        with pytest.raises(RadiographError, match="save it as grey without alpha"):
            read_radiograph(path)
    else:
        assert np.abs(read_radiograph(path).astype(int) - prepare(image)).max() <= 3


@pytest.mark.parametrize("compression", [34712, 50001], ids=["JPEG 2000", "WebP"])
def test_a_tiff_of_a_compression_that_is_not_read_is_refused(tmp_path, compression):
    path = tmp_path / "film.tif"
    path.write_bytes(tiff([film()], more={259: compression}))
    with pytest.raises(RadiographError, match="save it without compression"):
        read_radiograph(path)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [1, 4], ids=["thumbnail", "mask"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
def test_a_thumbnail_before_the_film_is_not_taken_for_it(tmp_path, depth, kind, big):
    image, path = film(depth=depth), tmp_path / "film.tif"
    dark = np.iinfo(depth).max - image
    path.write_bytes(tiff([dark[::4, ::4], dark], photometric=0, big=big, kinds=(kind, 0)))
    assert np.array_equal(read_radiograph(path), prepare(image))
    path.write_bytes(tiff([dark], photometric=0, big=big, kinds=(kind,)))  # said of the film itself
    assert read_radiograph(path).shape == image.shape


def animated_png(path, frames=2):
    """A PNG that says that it has two frames."""
    data = save(path, film()).read_bytes()
    control = b"acTL" + struct.pack(">II", frames, 0)
    chunk = struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control))
    path.write_bytes(data[:33] + chunk + data[33:])  # after the signature and IHDR


def animated_webp(path):
    """A WebP of one film in two frames."""

    def chunk(name, content):
        return name + struct.pack("<I", len(content)) + content

    size = b"".join((side - 1).to_bytes(3, "little") for side in (90, 120))
    picture = save(path, film()).read_bytes()[12:]
    frame = chunk(b"ANMF", bytes(6) + size + (100).to_bytes(3, "little") + b"\0" + picture)
    header = chunk(b"VP8X", b"\2\0\0\0" + size) + chunk(b"ANIM", bytes(6))
    path.write_bytes(chunk(b"RIFF", b"WEBP" + header + 2 * frame))


@pytest.mark.parametrize(("kind", "write"), [("PNG", animated_png), ("WebP", animated_webp)])
def test_an_animation_is_no_film(tmp_path, kind, write):
    write(tmp_path / f"film.{kind.lower()}")
    with pytest.raises(RadiographError, match=f"{kind} with several frames instead of one"):
        read_radiograph(tmp_path / f"film.{kind.lower()}")


def test_an_animation_of_one_frame_is_a_film(tmp_path):
    animated_png(tmp_path / "film.png", frames=1)
    assert np.array_equal(read_radiograph(tmp_path / "film.png"), prepare(film()))


@pytest.mark.parametrize(
    ("second", "pages"), [(PAGE, 2), (THUMBNAIL, 1)], ids=["pages", "thumbnail"]
)
def test_a_tiff_of_several_pages_is_no_film_but_may_have_a_thumbnail(tmp_path, second, pages):
    path = tmp_path / "film.tif"
    cv2.imwritemulti(str(path), [film(), film()])
    before, page, after = path.read_bytes().rpartition(PAGE)
    path.write_bytes(before + second + after)
    if pages == 1:
        assert np.array_equal(read_radiograph(path), prepare(film()))
    else:
        with pytest.raises(RadiographError, match="TIFF with several pages instead of one"):
            read_radiograph(path)


def test_16_bit_film_in_a_narrow_range_keeps_its_detail(tmp_path):
    narrow = (film(depth=np.uint16) // 257 + 1000).astype(np.uint16)  # 12-bit data, high byte 3-4
    image = read_radiograph(save(tmp_path / "narrow.png", narrow))
    assert len(np.unique(image)) > 50


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file_is_named(tmp_path, ending, share):
    path = save(tmp_path / f"film{ending}", film())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RadiographError, match="truncated") as error:
        read_radiograph(path)
    assert str(path) in str(error.value)


JPEGS = {  # ways to write one
    "plain": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),  # of several scans
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
}


def jpeg(image, *options):
    return cv2.imencode(".jpg", image, options)[1].tobytes()


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_ends_where_its_picture_does(tmp_path, options):
    """Neither with the thumbnail in its header, nor with what a vendor writes behind it."""
    path, bare, small = tmp_path / "film.jpg", jpeg(film(), *options), jpeg(film(32, 24))
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    whole = bare[:2] + thumbnail + bare[2:]
    path.write_bytes(bare)
    expected = read_radiograph(path)
    for behind in (b"", b"\0\xff\xda vendor", small[:-2]):
        path.write_bytes(whole + behind)
        assert np.array_equal(read_radiograph(path), expected)
    for end in (len(thumbnail) + 2, len(thumbnail) + 3, len(whole) // 2, -2, -1):
        path.write_bytes(whole[:end])
        with pytest.raises(RadiographError, match="truncated"):
            read_radiograph(path)


def test_a_jpeg_that_goes_on_in_fill_bytes_is_truncated_at_once(tmp_path):
    """Any number of 0xFF may precede a marker: the time must not grow with its square."""
    path = tmp_path / "film.jpg"
    path.write_bytes(jpeg(film())[:-2] + 30_000 * b"\xff")
    start = time.process_time()
    with pytest.raises(RadiographError, match="truncated"):
        read_radiograph(path)
    assert time.process_time() - start < 2  # s
    path.write_bytes(path.read_bytes() + b"\xd9")
    assert read_radiograph(path).shape == film().shape


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am no film" * 9, "not a readable image"),
        (cv2.imencode(".png", np.full((50, 50), 7, np.uint8))[1].tobytes(), "no contrast"),
        (cv2.imencode(".png", film(8, 8))[1].tobytes(), "too small"),
    ],
)
def test_unusable_file_says_why(tmp_path, content, reason):
    path = tmp_path / "film.png"
    path.write_bytes(content)
    with pytest.raises(RadiographError, match=reason):
        read_radiograph(path)


@pytest.mark.parametrize(("greys", "usable"), [(2, False), (7, False), (8, True), (16, True)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_film_of_few_greys_is_no_radiograph(tmp_path, depth, greys, usable):
    """A picture in black and white would get an age all the same; 4 bits have 16 levels."""
    image = prepare(film(depth=depth)) // np.uint16(np.ceil(256 / greys))
    assert len(np.unique(image)) == greys
    path = save(tmp_path / "film.png", (image * (np.iinfo(depth).max // 16)).astype(depth))
    if usable:
        assert len(np.unique(read_radiograph(path))) == greys
    else:
        with pytest.raises(RadiographError, match=f"only {greys} levels of grey"):
            read_radiograph(path)


def test_missing_file_and_folder_are_errors_of_ours(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(RadiographError, match="can't be read"):
            read_radiograph(path)


def test_png_damaged_in_its_middle_is_an_error_not_half_a_film(tmp_path):
    path = save(tmp_path / "film.png", film())
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    with pytest.raises(RadiographError):
        read_radiograph(path)


def test_pad_keeps_the_aspect_ratio_and_fills_with_the_border_level():
    image = np.full((100, 50), 30, np.uint8)
    cv2.circle(image, (25, 50), 15, 200, -1)
    canvas = to_canvas(image, 100, "pad")
    bright = np.argwhere(canvas > 115)
    assert canvas.shape == (100, 100)
    assert np.all(canvas[:, :20] == 30)
    assert np.ptp(bright[:, 0]) == np.ptp(bright[:, 1])  # the circle is round still


def test_stretch_fills_the_square():
    image = np.full((100, 50), 30, np.uint8)
    cv2.circle(image, (25, 50), 15, 200, -1)
    bright = np.argwhere(to_canvas(image, 100, "stretch") > 115)
    assert np.ptp(bright[:, 1]) == pytest.approx(2 * np.ptp(bright[:, 0]), abs=2)


def test_what_is_finer_than_a_pixel_becomes_its_mean():
    """Single pixels of a chequered film would else come out light or dark by chance (aliasing)."""
    chequered = np.indices((300, 300)).sum(axis=0) % 2 * np.uint8(200)
    canvas = to_canvas(chequered.astype(np.uint8), 100, "stretch").astype(int)
    assert np.abs(canvas - 100).max() <= 12  # nine pixels: four or five are light
    grown = to_canvas(np.uint8([[0, 200], [0, 200]]), 100, "stretch").astype(int)
    assert np.diff(grown, axis=1).max() <= 5  # and a film that grows has no steps


def test_a_film_whose_pixels_are_nearly_all_alike_is_stretched_by_the_others(tmp_path):
    image = np.full((100, 100), 50, np.uint8)
    image[50, 30:60] = np.arange(30) + 70
    seen = read_radiograph(save(tmp_path / "film.png", image))
    assert (seen.min(), seen.max()) == (0, 255)
    assert np.unique(seen[50, 30:60]).size == 30


def test_canvas_is_square_for_any_film(tmp_path):
    path = save(tmp_path / "film.png", film(200, 33))
    for fit in FITS:
        assert read_canvases([path], 64, fit)[0].image.shape == (64, 64)


@pytest.mark.parametrize("fit", ["stretch", "pad"])  # "hand" would cut the marker off
def test_a_hand_of_little_contrast_is_told(tmp_path, fit):
    """A marker takes the bright end of the range, and leaves the hand a quarter of it."""
    film = draw_phantom(120, 1, np.random.default_rng(0))
    dim = film // 4
    dim[: film.shape[0] // 6, : film.shape[1] // 6] = 255
    save(tmp_path / "film.png", film)
    save(tmp_path / "dim.png", dim)
    pixels, _ = read_pixels([tmp_path / "film.png", tmp_path / "dim.png"], 96, fit)
    assert pixels.oddities.pale.tolist() == [False, True]
    assert film_notes(pixels.oddities, right=True)[1].endswith("errors on such films may be larger")
    assert any("little contrast: 1;" in note for note in oddity_notes(pixels.oddities, right=True))
    assert "1 of little contrast" in format_counts(pixels.oddities.counts(), right=True)


def test_a_film_of_more_pixels_than_films_have_is_called_that(tmp_path):
    big = cv2.imencode(".png", np.zeros((10_001, 10_000), np.uint8))[1]
    (tmp_path / "big.png").write_bytes(big.tobytes())
    with pytest.raises(UserError, match="more pixels than any film has"):
        read_radiograph(tmp_path / "big.png")


def test_a_file_larger_than_any_film_is_not_read(tmp_path):
    with (tmp_path / "film.bmp").open("wb") as file:
        file.write(b"BM")
        file.truncate(2_000_000_000)  # takes no space
    with pytest.raises(RadiographError, match="larger than any film"):
        read_radiograph(tmp_path / "film.bmp")


@pytest.mark.parametrize(("n", "odd", "told"), [(50, 1, 0), (50, 2, 1), (300, 3, 0), (300, 4, 1)])
def test_few_films_that_look_turned_may_be_false_alarms(n, odd, told):
    """Up to 1 %, and one at least, where films are not set right."""
    oddities = Oddities.none(n)
    oddities.turned[:odd] = 90
    assert len(oddity_notes(oddities, right=False)) == told
    [note] = oddity_notes(oddities, right=True)
    assert note == f"films that looked turned and were set upright: {odd}"
