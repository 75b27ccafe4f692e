"""Films in DICOM files: light bones whatever the file says is white, and reasons for what is no
film."""

import re
import struct
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from source_folders import read, run
from test_radiographs import film

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import (  # noqa: E402
    HTJ2K,
    MPEG2MPML,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

import predict  # noqa: E402
from clahe.enhance import enhance_folder  # noqa: E402
from preprocessing import read_labelled_folder  # noqa: E402
from util.errors import UserError  # noqa: E402
from util.film_files import list_films  # noqa: E402
from util.image_kinds import image_kind  # noqa: E402
from util.phantoms import draw_phantom  # noqa: E402
from util.pixel_cache import read_pixels  # noqa: E402
from util.predicting.ensemble import open_ensemble  # noqa: E402
from util.predicting.film_ages import predict_ages  # noqa: E402
from util.radiographs import RadiographError, decode, read_radiograph  # noqa: E402
from util.tables.headers import read_child  # noqa: E402

MAX12 = 4095


def values_of_12_bits():
    return film(depth=np.uint16) >> 4


def write_dicom(path, values, photometric="MONOCHROME2", **elements):
    """Write `values`, uint16 of 12 bits, as a DICOM file; `elements` are added to it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711PATIENT"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation, dataset.PixelData = 0, values.astype("<u2").tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_compressed(path, syntax, content):
    """Let a DICOM file hold `content` as its compressed pixels."""
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([content])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path


def write_png(path, values):
    path.write_bytes(cv2.imencode(".png", values)[1].tobytes())
    return path


def shows_the_same(dicom, png):
    """Whether two files are read as the same film, but for what rounding does."""
    return np.abs(read_radiograph(dicom).astype(int) - read_radiograph(png)).max() <= 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_the_preamble_is_found_and_read(tmp_path, png, syntax):
    """As old archives and some exports write films."""
    whole = write_dicom(tmp_path / "whole.dcm", values_of_12_bits(), PatientSex="M")
    dataset = pydicom.dcmread(whole)
    bare = tmp_path / "films" / "IM000001"
    bare.parent.mkdir()
    del dataset.file_meta, dataset.preamble
    dataset.save_as(bare, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    assert bare.read_bytes()[:2] == b"\x08\x00"
    assert list_films(bare.parent) == [bare]
    assert shows_the_same(bare, png)
    assert read_child(bare).sex == 1
    for name, content in (
        ("a", b"\x08\x00\x05\x00" + 40 * b"\xff"),
        ("b", struct.pack("<20i", *20 * [8])),
    ):
        (bare.parent / name).write_bytes(content)
    assert list_films(bare.parent) == [bare]


@pytest.fixture
def png(tmp_path):
    return write_png(tmp_path / "film.png", values_of_12_bits())


def test_a_film_is_the_same_from_dicom_and_from_png(tmp_path, png):
    dicom = write_dicom(tmp_path / "film.dcm", values_of_12_bits())
    assert image_kind(dicom.read_bytes()) == "DICOM"
    assert decode(dicom.read_bytes(), dicom).dtype == np.uint16
    assert shows_the_same(dicom, png)


@pytest.mark.parametrize(("kind", "shift"), [("u1", 4), ("i1", 4), ("<i2", 0), ("<u4", 0)])
def test_pixels_of_any_size_and_sign_show_the_same(tmp_path, kind, shift):
    values = values_of_12_bits() >> shift
    kind, middle = np.dtype(kind), MAX12 // 2 >> shift
    stored = (values.astype(int) - (middle if kind.kind == "i" else 0)).astype(kind)
    bits = 8 * kind.itemsize
    dicom = write_dicom(
        *(tmp_path / "film.dcm", values),
        **{"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1},
        **{"PixelRepresentation": int(kind.kind == "i"), "PixelData": stored.tobytes()},
    )
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", values))


@pytest.mark.parametrize("bit", [None, 7, 16])
def test_a_high_bit_that_can_not_be_says_nothing(tmp_path, png, bit):
    assert shows_the_same(write_dicom(tmp_path / "1.dcm", values_of_12_bits(), HighBit=bit), png)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_a_frame_in_colour_is_grey_as_a_png_in_colour_is(tmp_path, photometric):
    """As a secondary capture, the picture of a screen."""
    grey = (values_of_12_bits() >> 4).astype(np.uint8)
    rgb = np.dstack([grey, grey // 2, grey])
    # OpenCV has the colours of YCrCb, and of a PNG, in another order
    stored = rgb if photometric == "RGB" else cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    dicom = write_dicom(
        *(tmp_path / "film.dcm", grey, photometric),
        **{"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PixelData": stored.tobytes()},
        **{"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
    )
    png = write_png(tmp_path / "film.png", rgb[..., ::-1])
    one, other = (decode(path.read_bytes(), path).astype(int) for path in (dicom, png))
    assert np.abs(one - other).max() <= 1
    assert np.abs(one - grey).max() > 20


def test_where_small_values_are_white_the_film_is_turned_once(tmp_path, png):
    turned = MAX12 - values_of_12_bits()
    assert shows_the_same(write_dicom(tmp_path / "1.dcm", turned, "MONOCHROME1"), png)
    by_table = {"RescaleSlope": -1, "RescaleIntercept": MAX12, "RescaleType": "US"}
    assert shows_the_same(write_dicom(tmp_path / "2.dcm", turned, **by_table), png)
    both = write_dicom(tmp_path / "3.dcm", values_of_12_bits(), "MONOCHROME1", **by_table)
    assert shows_the_same(both, png)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_window_of_the_file_counts_before_the_turn(tmp_path, photometric):
    values, centre, width = values_of_12_bits(), 1500, 800
    window = {"WindowCenter": centre, "WindowWidth": width}
    dicom = write_dicom(tmp_path / "film.dcm", values, photometric, **window)
    inside = np.clip(values, centre - width // 2, centre + width // 2)
    light = inside if photometric == "MONOCHROME2" else MAX12 - inside
    expected = read_radiograph(write_png(tmp_path / "film.png", light))
    got = read_radiograph(dicom)
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert (got == 0).mean() > 0.05  # the window cuts


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_negative_slope_does_not_turn_the_window(tmp_path, function, photometric):
    values, turning = values_of_12_bits(), {"RescaleSlope": -1, "RescaleIntercept": MAX12}
    window = {"WindowCenter": 1500, "WindowWidth": 800, "VOILUTFunction": function}
    plain = write_dicom(tmp_path / "1.dcm", values, photometric, **window)
    turned = write_dicom(tmp_path / "2.dcm", MAX12 - values, photometric, **window, **turning)
    assert np.array_equal(read_radiograph(turned), read_radiograph(plain))


def test_the_first_of_several_windows_counts(tmp_path):
    """Also where a later one has no width."""
    one = {"WindowCenter": 1500, "WindowWidth": 400}
    several = {"WindowCenter": [1500, 0], "WindowWidth": [400, 0]}
    films = [
        read_radiograph(write_dicom(tmp_path / f"{n}.dcm", values_of_12_bits(), **window))
        for n, window in enumerate((one, several, {}))
    ]
    assert np.array_equal(films[0], films[1])
    assert not np.array_equal(films[0], films[2])


def test_an_exact_window_may_be_narrower_than_a_value(tmp_path):
    values = values_of_12_bits()
    window = {"WindowCenter": 0.375, "WindowWidth": 0.25, "VOILUTFunction": "LINEAR_EXACT"}
    scale = {"RescaleSlope": 1 / (MAX12 + 1), "RescaleIntercept": 0}
    dicom = write_dicom(tmp_path / "film.dcm", values, **window, **scale)
    expected = write_png(tmp_path / "film.png", np.clip(values, 1024, 2048))
    assert shows_the_same(dicom, expected)


@pytest.mark.parametrize(
    "window", [(1500, 1), (127, 255), (128, 256), (9000, 400)], ids=["narrow", "8", "8 bits", "off"]
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_that_hides_the_film_is_ignored(tmp_path, window, photometric):
    """As one for 8 bits, on a film of 12."""
    values = film(400, 300, np.uint16) >> 4
    values[:20] = np.arange(300)  # dark ground, which such a window shows
    light = values if photometric == "MONOCHROME2" else MAX12 - values
    window = dict(zip(("WindowCenter", "WindowWidth"), window, strict=True))
    dicom = write_dicom(tmp_path / "film.dcm", values, photometric, **window)
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", light))


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_window_of_all_values_of_fewer_bits_is_ignored(tmp_path, bits, less, photometric):
    """The film has two bits more, and few values above those that its own bits allow."""
    values = values_of_12_bits() >> 10 - bits if bits < 10 else values_of_12_bits() << bits - 10
    values[:20] //= 6  # dark ground, which such a window shows
    light = values if photometric == "MONOCHROME2" else values.max() - values
    window = {"WindowCenter": 2**bits // 2 - less, "WindowWidth": 2**bits - less}
    elements = window | {"BitsStored": bits + 2, "HighBit": bits + 1}
    dicom = write_dicom(tmp_path / "film.dcm", values, photometric, **elements)
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", light))


@pytest.mark.parametrize("above", ["marker", "border"])
def test_a_window_of_fewer_bits_is_believed_if_the_film_has_hardly_more(tmp_path, above):
    """Few pixels of many levels, or many of one level."""
    values = values_of_12_bits() >> 4
    if above == "marker":
        values[:10, :10] = np.linspace(300, MAX12, 100).reshape(10, 10)
    else:
        values[-10:] = MAX12
    window = {"WindowCenter": 128, "WindowWidth": 256}
    dicom = write_dicom(tmp_path / "film.dcm", values, **window)
    expected = write_png(tmp_path / "film.png", np.minimum(values, 255).astype(np.uint8))
    assert shows_the_same(dicom, expected)


def test_a_table_to_8_bits_is_believed(tmp_path):
    values, table = values_of_12_bits(), Dataset()
    table.LUTDescriptor = [MAX12 + 1, 0, 8]
    table.LUTData = (np.sqrt(np.arange(MAX12 + 1)) * 3).astype("<u2").tobytes()
    dicom = write_dicom(tmp_path / "film.dcm", values, VOILUTSequence=[table])
    expected = (np.sqrt(values) * 3).astype(np.uint8)
    assert len(np.unique(expected)) < len(np.unique(values)) / 10
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", expected))


TABLES = ("ModalityLUTSequence", "VOILUTSequence")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["i1", "<i2"])
@pytest.mark.parametrize("told", ["SS", "US"])
def test_a_table_begins_at_the_lowest_of_signed_pixels(tmp_path, name, kind, told):
    """So that the last place in it is more than the type of the pixels holds. Some files give the
    first as if unsigned."""
    bits = 8 * np.dtype(kind).itemsize
    lowest, table = -(2 ** (bits - 1)), Dataset()
    values = values_of_12_bits().astype(int) * 2**bits // (MAX12 + 1)
    first = lowest if told == "SS" else lowest % 2**16
    table.add_new("LUTDescriptor", told, [2**bits % 2**16, first, 16])
    table.LUTData = np.arange(2**bits).astype("<u2").tobytes()
    dicom = write_dicom(
        *(tmp_path / "film.dcm", values),
        **{"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, name: [table]},
        **{"PixelRepresentation": 1, "PixelData": (values + lowest).astype(kind).tobytes()},
    )
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", values.astype(np.uint16)))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("bits", "kind"), [(8, "u1"), (8, "<u2"), (9, "<u2"), (12, "<u2")])
def test_a_table_of_any_depth_is_read(tmp_path, name, bits, kind):
    """Those of 8 bits may have two entries in a word."""
    values, table = values_of_12_bits(), Dataset()
    numbers = (np.sqrt(np.arange(MAX12 + 1) / MAX12) * (2**bits - 1)).astype(kind)
    table.LUTDescriptor, table.LUTData = [MAX12 + 1, 0, bits], numbers.tobytes()
    dicom = write_dicom(tmp_path / "film.dcm", values, **{name: [table]})
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", numbers[values]))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["<u2", "<i2"])
def test_a_table_may_be_shorter_than_told_or_of_numbers_that_look_signed(tmp_path, name, kind):
    values, table = values_of_12_bits(), Dataset()
    numbers = np.arange(MAX12 + 1, dtype=np.uint16) * 16
    table.LUTDescriptor = [MAX12 + 1, 0, 16]
    told = numbers[:-1].tobytes() if kind == "<u2" else numbers.astype(kind).tolist()
    table.add_new("LUTData", "OW" if kind == "<u2" else "SS", told)
    dicom = write_dicom(tmp_path / "film.dcm", values, **{name: [table]})
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", numbers[values]))


@pytest.mark.parametrize("blank", ["WindowCenter", "WindowWidth"])
def test_a_later_window_may_be_blank(tmp_path, blank):
    one = {"WindowCenter": 2048, "WindowWidth": 4096}
    paths = [
        write_dicom(tmp_path / f"{len(window[blank])}.dcm", values_of_12_bits(), **window)
        for window in (one | {blank: [one[blank]]}, one | {blank: [one[blank], ""]})
    ]
    assert np.array_equal(*map(read_radiograph, paths))


def test_a_compressed_film_is_read(tmp_path, png):
    dicom = write_dicom(tmp_path / "film.dcm", values_of_12_bits())
    dataset = pydicom.dcmread(dicom)
    dataset.compress(RLELossless)
    dataset.save_as(dicom)
    assert shows_the_same(dicom, png)


@pytest.mark.parametrize("kind", ["overlay", "no sign", "high bits"])
def test_of_jpeg_2000_only_the_bits_that_are_stored_count(tmp_path, png, kind):
    """The others may hold an overlay, or zeros where a negative value has ones."""
    values = values_of_12_bits()
    stored, elements = {
        "overlay": (values | np.eye(*values.shape, dtype=np.uint16) << 12, {}),
        "no sign": ((values - 2048) % (MAX12 + 1), {"PixelRepresentation": 1}),
        "high bits": (values << 4, {"HighBit": 15}),
    }[kind]
    whole = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)  # without loss
    jp2 = cv2.imencode(".jp2", stored, whole)[1].tobytes()
    dicom = write_dicom(tmp_path / "film.dcm", values, **elements)
    write_compressed(dicom, JPEG2000Lossless, jp2[jp2.find(b"\xff\x4f\xff\x51") :])
    assert shows_the_same(dicom, png)


def reason(path):
    with pytest.raises(RadiographError) as error:
        read_radiograph(path)
    assert "\n" not in str(error.value)
    return error.value.reason


def test_what_is_no_film_is_one_line_that_says_why(tmp_path):
    values = values_of_12_bits()
    path = tmp_path / "film.dcm"
    assert "with 2 frames" in reason(
        write_dicom(path, np.vstack([values] * 2), Rows=len(values), NumberOfFrames=2)
    )
    for photometric in ("PALETTE COLOR", "RGB"):  # of one sample a pixel
        dicom = write_dicom(path, values, photometric)
        assert reason(dicom) == f"DICOM file in unsupported colours ({photometric})"
    assert "no contrast" in reason(write_dicom(path, np.full_like(values, 7)))
    assert "HighBit 15 with BitsStored 12" in reason(write_dicom(path, values << 4, HighBit=15))
    whole = write_dicom(path, values).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged DICOM file" in reason(path)
    path.write_bytes(whole[:140])
    assert reason(path) == "DICOM file without an image"


def write_undecodable(path, syntax):
    """Write a film that says it is compressed so, and isn't."""
    return write_compressed(write_dicom(path, values_of_12_bits()), syntax, b"no JPEG")


EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
COLOUR = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}


@pytest.mark.parametrize(
    ("photometric", "frames", "elements"),
    [
        ("MONOCHROME2", 2, {}),  # without their number
        ("MONOCHROME2", 1, EIGHT_BITS),
        ("MONOCHROME2", 3, COLOUR),
        ("RGB", 3, COLOUR | EIGHT_BITS),
    ],
)
def test_pixels_that_do_not_fit_the_header_are_no_film(tmp_path, photometric, frames, elements):
    values = values_of_12_bits()
    pixels = {"PixelData": values.tobytes() * frames}
    dicom = write_dicom(tmp_path / "film.dcm", values, photometric, **elements, **pixels)
    assert reason(dicom).startswith("DICOM file whose pixels do not fit its header (90 x 120 ")


def test_a_missing_decoder_is_asked_for(tmp_path, monkeypatch):
    def missing(syntax):
        packages = {JPEGLosslessSV1: ["gdcm >= 3", "pylibjpeg"], HTJ2K: ["pylibjpeg"]}
        if syntax not in packages:
            raise NotImplementedError
        return SimpleNamespace(is_available=False, missing_dependencies=packages[syntax])

    monkeypatch.setattr("pydicom.pixels.get_decoder", missing)
    for syntax, told in (
        (JPEGLosslessSV1, "JPEG Lossless.*pip install pydicom python-gdcm"),
        (HTJ2K, "High-Throughput.*pip install pylibjpeg pylibjpeg-openjpeg"),
        (MPEG2MPML, "MPEG2.*which has no decoder"),
    ):
        path = write_undecodable(tmp_path / f"{syntax}.dcm", syntax)
        assert re.search(told, reason(path))


def test_jpeg_of_12_bits_asks_for_the_one_decoder_that_reads_it(tmp_path, monkeypatch):
    """The others say that they decode it, and then do so with 8 bits alone."""
    plugins = ["gdcm", "pillow"]
    decoder = SimpleNamespace(is_available=True, available_plugins=plugins)
    monkeypatch.setattr("pydicom.pixels.get_decoder", lambda syntax: decoder)
    path = write_undecodable(tmp_path / "film.dcm", JPEGExtended12Bit)
    assert reason(path).endswith("12 bits: pip install pylibjpeg pylibjpeg-libjpeg")
    plugins.append("pylibjpeg")
    assert "pylibjpeg-libjpeg" not in reason(path)


def test_a_film_of_a_kind_that_is_known_in_part_asks_for_a_decoder(tmp_path, monkeypatch):
    """Pillow says that it decodes JPEG, and then not those of 12 bits."""
    path = write_undecodable(tmp_path / "film.dcm", JPEGLosslessSV1)
    monkeypatch.setattr("util.dicom.check_decoder", lambda film: None)
    for gdcm, told in ((None, "pip install pydicom python-gdcm"), ("there", "damaged DICOM file")):
        monkeypatch.setattr("util.dicom.find_spec", lambda name, gdcm=gdcm: gdcm)
        assert told in reason(path)


def test_missing_pydicom_is_asked_for_until_it_is_there(tmp_path, monkeypatch):
    paths = [write_dicom(tmp_path / "film.dcm", values_of_12_bits())]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pydicom", None)
        assert "pip install pydicom" in reason(paths[0])
        assert read_pixels(paths, 32, "pad", tmp_path / "cache")[1]
    assert not read_pixels(paths, 32, "pad", tmp_path / "cache")[1]


def padded(values, level):
    """The same film with a frame of one stored value, which is 20 % of it."""
    framed = np.full_like(values, level)
    framed[6:-6, 6:-6] = values[6:-6, 6:-6]
    return framed


WINDOW = {"WindowCenter": 2047.5, "WindowWidth": MAX12 + 1}


@pytest.mark.parametrize(
    ("level", "elements"),
    [
        (MAX12, {"PixelPaddingValue": MAX12}),
        (MAX12, {"PixelPaddingValue": MAX12} | WINDOW),
        (MAX12, {"PixelPaddingValue": 4090, "PixelPaddingRangeLimit": 4095}),
        (MAX12, {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4090}),
        (0, {"PixelPaddingValue": 0}),
        (63536, {"PixelPaddingValue": 63536, "BitsStored": 16, "HighBit": 15}),
    ],
    ids=["high", "with a window", "range", "range downwards", "low", "far"],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_dark_and_counts_for_nothing(tmp_path, level, elements, photometric):
    values = values_of_12_bits()
    inside = values[6:-6, 6:-6]
    light = padded(values, inside.min())
    if photometric == "MONOCHROME1":
        values = MAX12 - values
    dicom = write_dicom(tmp_path / "1.dcm", padded(values, level), photometric, **elements)
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", light))


def test_padding_of_pixels_of_32_bits_is_dark(tmp_path):
    values = values_of_12_bits().astype("<u4") << 8
    light = padded(values, values[6:-6, 6:-6].min())
    dicom = write_dicom(tmp_path / "1.dcm", values_of_12_bits())
    dataset = pydicom.dcmread(dicom)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    dataset.PixelData = padded(values, 2**20 + 7).astype("<u4").tobytes()
    dataset.add_new("PixelPaddingValue", "UL", 2**20 + 7)
    dataset.save_as(dicom)
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", (light >> 8).astype(np.uint16)))


def test_padding_with_the_other_sign_is_known(tmp_path):
    values = padded(values_of_12_bits(), 63536)
    dicom = write_dicom(tmp_path / "1.dcm", values, BitsStored=16, HighBit=15)
    dataset = pydicom.dcmread(dicom)
    dataset.add_new("PixelPaddingValue", "SS", 63536 - 2**16)
    dataset.save_as(dicom)
    light = padded(values, values.min())
    assert shows_the_same(dicom, write_png(tmp_path / "film.png", light))


def test_a_film_that_is_padding_alone_is_not_believed(tmp_path, png):
    whole = {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": MAX12}
    assert shows_the_same(write_dicom(tmp_path / "1.dcm", values_of_12_bits(), **whole), png)


def test_blank_elements_and_a_window_of_no_width_say_nothing(tmp_path, png, recwarn):
    blank = {"RescaleSlope": None, "RescaleIntercept": None, "PixelPaddingValue": None}
    none = {"WindowCenter": 9, "WindowWidth": 0}
    functions = [WINDOW | {"VOILUTFunction": function} for function in ("", "linear", "CUBIC")]
    table = Dataset()
    table.LUTDescriptor = [MAX12 + 1, 0, 16]
    table.LUTData = (16 * np.arange(MAX12 + 1)).astype("<u2").tobytes()
    for elements in (blank, none, blank | none, *functions, {"VOILUTSequence": [table]}):
        dicom = write_dicom(tmp_path / "film.dcm", values_of_12_bits(), **elements)
        assert shows_the_same(dicom, png)
    assert not recwarn


def name_of(number):
    names = {7: "7.tif", 8: "8", 9: "1.2.840.9", 10: "10.ima"}
    return names.get(number, f"{number}.dcm")


def test_imported_films_are_png_without_the_name_of_the_patient(tmp_path):
    source, data_dir = tmp_path / "films", tmp_path / "Data"
    source.mkdir()
    (source / "notes").write_text("no film")
    for number in range(40):  # some of them under other names
        write_dicom(source / name_of(number), np.roll(values_of_12_bits(), number))
    (source / "40.ima").write_bytes(b"\x08\0\5\0 Doe^Jane")  # damaged
    rows = [f"{name_of(number)},{60 + number},{'MF'[number % 2]}" for number in range(40)]
    rows.append("40.ima,100,F")
    (source / "labels.csv").write_text("\n".join(["id,boneage,sex", *rows]) + "\n")
    run(data_dir, "--source", source)
    placed = sorted(data_dir.glob("*/*"))
    assert len(placed) == 40
    for path in placed:
        assert path.suffix == ".png"
        assert not any(word in path.read_bytes() for word in (b"Doe^Jane", b"4711PATIENT"))
        film = source / (name_of(int(path.stem)) if path.stem.isdigit() else path.stem)
        assert np.array_equal(read_radiograph(path), read_radiograph(film))


def test_a_folder_of_dicom_films_is_predicted(tmp_path, capsys):
    image = draw_phantom(120, 1, np.random.default_rng(0))
    values = (image.astype(np.uint16) << 4) + 15
    dicom = write_dicom(tmp_path / "a.dcm", values)
    write_dicom(tmp_path / "b.dcm", MAX12 - values, "MONOCHROME1")
    write_png(tmp_path / "c.png", decode(dicom.read_bytes(), dicom))
    predict.main([str(tmp_path), "--sex", "M", "--tta_steps", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a.dcm", "b.dcm", "c.png"]
    assert len({line.split(maxsplit=1)[1] for line in lines}) == 1


BORN = {"PatientBirthDate": "20100115", "StudyDate": "20200715"}  # 10 y 6 mo


@pytest.mark.parametrize(
    ("elements", "child"),
    [
        ({"PatientSex": "F"} | BORN, (0, 126)),
        ({"PatientSex": "m "} | BORN | {"AcquisitionDate": "20200115"}, (1, 120)),
        ({"PatientSex": "O", "PatientAge": "030M"}, (np.nan, 30)),
        ({"PatientSex": "", "PatientAge": "052W"}, (np.nan, 12)),
        ({"PatientAge": "010Y"}, (np.nan, np.nan)),  # up to a year off
        (BORN | {"PatientAge": "010Y"}, (np.nan, 126)),
        (BORN | {"PatientAge": "012Y"}, (np.nan, np.nan)),  # which is right?
        (BORN | {"PatientAge": "030M"}, (np.nan, 30)),
        ({"PatientBirthDate": "2010.01.15", "StudyDate": "2020.07.15"}, (np.nan, 126)),
        (BORN | {"PatientBirthDate": "201001"}, (np.nan, np.nan)),
        (BORN | {"PatientBirthDate": "20100101"}, (np.nan, np.nan)),  # the year alone
        ({"PatientBirthDate": "20200115", "StudyDate": "20100115"}, (np.nan, np.nan)),
        ({"PatientBirthDate": "unknown", "StudyDate": "", "PatientAge": "old"}, (np.nan, np.nan)),
    ],
)
def test_the_header_tells_sex_and_age(tmp_path, elements, child):
    with pydicom.config.disable_value_validation():
        path = write_dicom(tmp_path / "film", values_of_12_bits(), **elements)
    assert read_child(path)[:2] == pytest.approx(child, abs=0.1, nan_ok=True)


@pytest.mark.parametrize(
    ("elements", "doubt"),
    [
        ({"BodyPartExamined": "HAND"} | BORN, ""),
        ({"BodyPartExamined": "", "PatientAge": "019Y"}, ""),
        ({"BodyPartExamined": "chest "}, "the DICOM header says CHEST"),
        ({"PatientAge": "045Y"}, "the DICOM header says 45 years, which no"),
        (BORN | {"PatientBirthDate": "19750515"}, "the DICOM header says 45 years, which no"),
        ({"BodyPartExamined": "FOOT", "PatientAge": "045Y"}, "the DICOM header says FOOT and 45 "),
    ],
)
def test_the_header_tells_that_a_film_is_of_no_childs_hand(tmp_path, elements, doubt):
    with pydicom.config.disable_value_validation():
        path = write_dicom(tmp_path / "film.dcm", values_of_12_bits(), **elements)
    told = read_child(path).doubt
    assert told.startswith(doubt)
    assert bool(told) == bool(doubt)


def test_a_film_that_its_header_calls_a_chest_gets_an_age_with_a_note(tmp_path):
    """Beside what else is told of the child."""
    elements = {"BodyPartExamined": "CHEST", "PatientSex": "M"}
    path = write_dicom(tmp_path / "a.dcm", values_of_12_bits(), **elements)
    ages = predict_ages(path, sex="F")
    assert "the DICOM header says M; the DICOM header says CHEST" in ages["note"][0]
    assert ages["months"].notna().all()


def test_a_film_that_is_replaced_after_its_header_was_read_gets_no_age(tmp_path, monkeypatch):
    """Its sex and age would be those of the other child."""
    paths = [tmp_path / name for name in ("same.dcm", "replaced.dcm", "touched.png")]
    for path in paths[:2]:
        write_dicom(path, values_of_12_bits(), PatientSex="M")
    write_png(paths[2], values_of_12_bits())

    def replace_films(*args, **options):
        write_dicom(paths[1], values_of_12_bits(), PatientSex="F")
        paths[2].touch()  # nothing was read of it before
        return open_ensemble(*args, **options)

    monkeypatch.setattr("util.predicting.film_ages.open_ensemble", replace_films)
    ages = predict_ages(paths, sex=[None, None, "M"])
    assert ages["problem"].str.contains("changed since its header was read").tolist() == [0, 1, 0]
    assert ages["months"].isna().tolist() == [False, True, False]


def test_what_is_no_dicom_film_tells_nothing_of_a_child(tmp_path, png, monkeypatch):
    (tmp_path / "damaged.dcm").write_bytes(128 * b"0" + b"DICM" + 50 * b"x")
    for path in (png, tmp_path / "damaged.dcm", tmp_path / "none.dcm"):
        assert np.isnan(read_child(path)[:2]).all()
        assert read_child(path)[2:4] == ("", False)
    film = write_dicom(tmp_path / "film.dcm", values_of_12_bits(), PatientSex="M")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert np.isnan(read_child(film)[:2]).all()


def test_sex_and_age_of_predictions_may_come_from_the_header(tmp_path, inside):
    films = tmp_path / "films"
    films.mkdir()
    image = (draw_phantom(120, 1, np.random.default_rng(0)).astype(np.uint16) << 4) + 15
    write_dicom(films / "a.dcm", image, PatientSex="F", **BORN)
    write_dicom(films / "b.dcm", image, PatientSex="M", PatientAge="010Y")
    write_dicom(films / "c.dcm", image)
    process = inside("predict.py", films, "--tta_steps", "1", "--out", tmp_path / "ages.csv")
    assert process.returncode == 1
    told = [line.split()[:2] for line in process.stdout.splitlines()]
    assert told == [["a.dcm", "F"], ["b.dcm", "M"]]
    assert " SD (" in process.stdout
    assert " at 10 y 6 mo" in process.stdout
    assert f"error: no sex: add --sex or --csv ({films / 'c.dcm'})" in process.stderr
    ages = pd.read_csv(tmp_path / "ages.csv")
    assert ages["age_months"].round().tolist() == pytest.approx([126, np.nan, np.nan], nan_ok=True)
    # what is told counts before the header, which is not passed over in silence
    process = inside("predict.py", films, "--tta_steps", "1", "--sex", "F", "--age_months", "100")
    assert {line.split()[1] for line in process.stdout.splitlines()} == {"F"}
    assert process.stdout.count(" at 8 y 4 mo") == 3
    assert f"note: the DICOM header says M ({films / 'b.dcm'})" in process.stderr
    assert f"note: the DICOM header says 10 y 6 mo ({films / 'a.dcm'})" in process.stderr
    assert process.stderr.count("header") == 2
    ages = predict_ages(films / "a.dcm", age_months=120)  # as in whole years
    assert ages["note"].tolist() == [""]
    # the same from a program
    ages = predict_ages([films / name for name in ("a.dcm", "b.dcm", "c.dcm")])
    assert ages["sex"].tolist()[:2] == [0, 1]
    assert ages["problem"].eq("").tolist() == [True, True, False]


def test_films_whose_header_tells_no_sex_still_need_it(tmp_path, inside):
    write_dicom(tmp_path / "a.dcm", values_of_12_bits(), PatientSex="O")
    process = inside("predict.py", "--model", predict.SHIPPED, tmp_path / "a.dcm")
    check_error_line(process, "needs the sex", "Add --sex F or M")


def test_a_table_of_children_that_a_header_completes_is_not_passed_over_in_silence(
    tmp_path, inside
):
    for name in ("a", "b", "c"):
        write_dicom(tmp_path / f"{name}.dcm", values_of_12_bits(), PatientSex="F")
    (tmp_path / "two.csv").write_text("id,sex\na,M\na,F\nb,x\n")
    films = sorted(tmp_path.glob("*.dcm"))
    process = inside("predict.py", *films, "--csv", tmp_path / "two.csv", "--tta_steps", "1")
    assert [line.split()[1] for line in process.stdout.splitlines()] == ["F", "F", "F"]
    for reason in ("two sexes in", ": x in place of M or F", "no row for it in"):
        assert reason in process.stderr
    assert process.stderr.count("; the sex in its DICOM header is used") == 3
    # ages alone are a table, too
    (tmp_path / "ages.csv").write_text("id,age_months\na,100\n")
    process = inside("predict.py", films[0], "--csv", tmp_path / "ages.csv", "--tta_steps", "1")
    assert " at 8 y 4 mo" in process.stdout
    assert "ages.csv" not in process.stderr


def test_a_table_without_sexes_is_enough_where_headers_tell_them(tmp_path):
    source = tmp_path / "films"
    source.mkdir()
    for number in range(20):
        write_dicom(source / f"{number}.dcm", values_of_12_bits(), PatientSex="MF"[number % 2])
    table = pd.DataFrame({"id": range(20), "boneage": range(60, 80)})
    table.to_csv(source / "labels.csv", index=False)
    placed = read(run(tmp_path / "Data", "--source", source))
    assert placed["sex"].to_dict() == {str(number): 1 - number % 2 for number in range(20)}
    # beside a table that has the sexes, one without is none, as among other films
    table.assign(sex="F").to_csv(source / "more.csv", index=False)
    assert (read(run(tmp_path / "again", "--source", source))["sex"] == 0).all()


def test_films_of_one_child_by_their_headers_are_in_one_split(tmp_path):
    for number in range(24):
        one = {"PatientID": f"HIDDEN{number // 3}", "PatientSex": "MF"[number // 3 % 2]}
        if number < 4:  # of no one child
            one = {
                "PatientID": ["ANONYMOUS", "", "ANONYMOUS", "?"][number],
                "PatientSex": "MMFF"[number],
            }
        write_dicom(tmp_path / f"{number}.dcm", values_of_12_bits(), **one)
    table = pd.DataFrame({"id": range(24), "boneage": range(60, 84), "patient_id": ""})
    table.loc[23, "patient_id"] = "p1"
    table.to_csv(tmp_path / "labels.csv", index=False)
    placed = read(run(tmp_path / "Data", "--source", tmp_path, "--split", 0.4, 0.3, 0.3))
    placed = placed.sort_index(key=lambda ids: ids.astype(int))
    children = [f"child of {max(4, i // 3 * 3)}" for i in range(4, 21)]
    assert placed["patient"].fillna("").tolist() == ["", "", "", "", *children, *["p1"] * 3]
    assert (placed.groupby("patient")["split"].nunique() == 1).all()
    assert not any("HIDDEN" in path.read_text() for path in (tmp_path / "Data").glob("*.csv"))


def test_a_child_that_one_row_names_is_named_in_the_others(tmp_path):
    """By the PatientID in the headers, unless that is one of most films."""
    for number in range(24):
        one = str(number // 3) if number < 9 else "ANON"
        path = tmp_path / f"{number}.dcm"
        write_dicom(path, values_of_12_bits(), PatientID=one, PatientSex="F")
    table = pd.DataFrame({"id": range(24), "boneage": range(60, 84), "patient_id": ""})
    table.loc[[1, 23], "patient_id"] = "p1", "p2"
    table.to_csv(tmp_path / "labels.csv", index=False)
    placed = read(run(tmp_path / "Data", "--source", tmp_path, "--split", 0.4, 0.3, 0.3))
    placed = placed.sort_index(key=lambda ids: ids.astype(int))
    expected = ["p1"] * 3 + ["child of 3"] * 3 + ["child of 6"] * 3 + [""] * 14 + ["p2"]
    assert placed["patient"].fillna("").tolist() == expected


def test_a_patient_of_all_films_or_of_two_given_splits_is_no_child(tmp_path):
    for number in range(12):
        source = tmp_path / ("training" if number < 8 else "validation")
        source.mkdir(exist_ok=True)
        write_dicom(source / f"{number}.dcm", values_of_12_bits(), PatientID="7", PatientSex="F")
    pd.DataFrame({"id": range(12), "boneage": 90}).to_csv(tmp_path / "labels.csv", index=False)
    words = ["--csv", tmp_path / "labels.csv", "--split", 0.5, 0.25, 0.25, "--source"]
    placed = read(run(tmp_path / "all", *words, tmp_path / "training"))
    assert placed["split"].value_counts().to_dict() == {"train": 4, "val": 2, "test": 2}
    write_dicom(tmp_path / "training" / "0.dcm", values_of_12_bits(), PatientID="8", PatientSex="F")
    placed = read(run(tmp_path / "given", *words, tmp_path / "training", tmp_path / "validation"))
    assert set(placed.index[placed["split"] == "val"]) == {"8", "9", "10", "11"}
    assert placed["patient"].dropna().tolist() == ["child of 0"]


def test_films_without_any_sex_are_one_line(tmp_path):
    write_dicom(tmp_path / "1.dcm", values_of_12_bits())
    (tmp_path / "labels.csv").write_text("id,boneage\n1,60\n")
    with pytest.raises(UserError, match="no column for sex, and no DICOM header gives one"):
        read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    with pytest.raises(UserError, match="no column for sex among id, boneage"):
        read_labelled_folder(tmp_path / "labels.csv", tmp_path)
    (tmp_path / "labels.csv").write_text("id,boneage\n2,60\n")
    reason = "1 no file .* The table names 2, the first film is 1.dcm"
    with pytest.raises(UserError, match=reason):
        read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    with pytest.raises(UserError, match=reason):
        run(tmp_path / "Data", "--source", tmp_path)


def test_a_header_that_tells_another_sex_than_the_table_is_noted(tmp_path, capsys):
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", values_of_12_bits(), PatientSex="M")
    (tmp_path / "labels.csv").write_text("id,boneage,sex\n0,60,M\n1,60,F\n2,60,\n")
    usable, _ = read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    assert usable["sex"].tolist() == [1, 0, 1]
    note = capsys.readouterr().err
    assert "DICOM headers contradict the sex" in note
    assert "1 film, such as 1:" in note


@pytest.mark.parametrize("rows", ["0,60,M\n0,60,\n", "0,60,\n0,60,M\n"])
def test_a_header_tells_no_second_sex_where_one_row_of_a_film_has_none(tmp_path, rows):
    write_dicom(tmp_path / "0.dcm", values_of_12_bits(), PatientSex="F")
    (tmp_path / "labels.csv").write_text(f"id,boneage,sex\n{rows}")
    usable, left_out = read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    assert usable["sex"].tolist() == [1]
    assert len(left_out) == 1


def test_a_header_tells_the_sex_that_a_row_lacks_where_another_row_tells_the_same(tmp_path):
    write_dicom(tmp_path / "0.dcm", values_of_12_bits(), PatientSex="M")
    (tmp_path / "labels.csv").write_text("id,boneage,sex\n0,,M\n0,60,\n")
    usable, left_out = read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    assert usable[["sex", "boneage"]].values.tolist() == [[1, 60]]
    assert left_out["reason"].tolist() == ["no usable age"]


def test_notes_on_a_table_with_sexes_are_printed_once_beside_one_without(tmp_path, capsys):
    sources = [tmp_path / "a", tmp_path / "b"]
    for source in sources:
        source.mkdir()
        ids = [f"{source.name}{number}" for number in range(10)]
        for id_ in ids:
            write_dicom(source / f"{id_}.dcm", values_of_12_bits(), PatientSex="M")
        table = pd.DataFrame({"id": ids, "boneage": 100, "sex": "F", "Patients": ids})
        table = table[["id", "boneage"]] if source.name == "b" else table
        table.to_csv(source / "labels.csv", index=False)
    run(tmp_path / "Data", "--source", *sources)
    err = capsys.readouterr().err
    assert err.count("column Patients is not used") == 1
    assert err.count("contradict the sex in") == 1


def test_what_headers_say_against_films_is_noted_when_they_are_read_with_a_table(tmp_path, capsys):
    for number, (burnt, part) in enumerate((("YES", "HAND"), ("NO", "KNEE"), ("YES", "HAND"))):
        elements = {"BurnedInAnnotation": burnt, "BodyPartExamined": part}
        write_dicom(tmp_path / f"{number}.dcm", values_of_12_bits(), **elements)
    (tmp_path / "labels.csv").write_text("id,boneage,sex\n0,60,M\n1,60,F\n2,60,F\n")
    read_labelled_folder(tmp_path / "labels.csv", tmp_path, headers=True)
    notes = capsys.readouterr().err
    assert "burnt-in text for 2 films, such as 0:" in notes
    assert "report an adult or another body part for 1 film, such as 1:" in notes


def test_a_plain_loop_is_not_timed_on_dicom(tmp_path, inside):
    """OpenCV gives nothing for it."""
    write_png(tmp_path / "a.png", values_of_12_bits())
    write_dicom(tmp_path / "b.dcm", values_of_12_bits())
    process = inside("inference_speed.time_folder", tmp_path, "--model", predict.SHIPPED)
    check_error_line(process, "reads no DICOM", "b.dcm")


def test_dicom_files_of_any_name_are_films_but_for_the_table_of_a_disc(tmp_path):
    for name in ("IM000001", "1.2.840.10", "scan.img", "DICOMDIR"):
        write_dicom(tmp_path / name, values_of_12_bits())
    assert [path.name for path in list_films(tmp_path)] == ["1.2.840.10", "IM000001", "scan.img"]


def test_clahe_copies_of_films_without_an_ending_keep_their_names(tmp_path):
    """A UID is numbers with dots between them, none of which begins an ending."""
    names = ["1.2.840", "1.2.840.10", "1.2.840.11"]
    (tmp_path / "films").mkdir()
    for name in names:
        write_dicom(tmp_path / "films" / name, values_of_12_bits())
    assert enhance_folder(tmp_path / "films", tmp_path / "copies") == (3, 0, {})
    assert sorted(path.stem for path in list_films(tmp_path / "copies")) == names
