"""Tables, pixel cache and batches: image, sex, label and id stay together."""

import gc
import os
import shutil
import time
import weakref
from functools import partial

import cv2
import numpy as np
import pandas as pd
import pytest
from files import modules_behind

from preprocessing import (
    Films,
    epoch_order,
    load_films,
    make_batch,
    random_stream,
    steps_per_epoch,
    training_dataset,
)
from util import pixel_cache
from util.augmentation import Augmentation
from util.errors import UserError
from util.files import hash_code

N = 40


@pytest.fixture
def coded_data(tmp_path, monkeypatch):
    """Films whose picture spells their row: stripes in the number's binary code.

    Sex and label are functions of the number too, so that any mix-up shows. Four shards hold them.
    """
    monkeypatch.setattr(pixel_cache, "SHARD_FILMS", 10)
    data_dir = tmp_path / "Data"
    for folder in ("train", "validation", "test"):
        (data_dir / folder).mkdir(parents=True)
    numbers = np.arange(1, N + 1)
    for number in numbers:
        cv2.imwrite(str(data_dir / "train" / f"{number}.png"), coded_film(number))
    table = pd.DataFrame(
        {"id": numbers, "boneage": numbers * 5, "sex": numbers % 2, "filename": ""}
    )
    table["gender"] = table["sex"].map({1: "male", 0: "female"})
    table["filename"] = table["id"].astype(str) + ".png"
    for name in ("df_train.csv", "df_val.csv", "df_test.csv"):
        table.to_csv(data_dir / name, index=False)
    return data_dir


def coded_film(number):
    """A film with a frame of greys and six vertical bars: bright where the bit of `number` is 1."""
    film = np.full((64, 64), 60, np.uint8)
    film[0, :8] += np.arange(8, dtype=np.uint8)
    film[4:60, 4:60] = 0
    for bit in range(6):
        if number >> bit & 1:
            film[8:56, 8 + bit * 8 : 8 + bit * 8 + 8] = 255
    return film


def decode_film(image):
    """Read the number back from the middle row of bars."""
    return sum(int(image[32, 12 + bit * 8] > 127) << bit for bit in range(6))


def load(data_dir, **options):
    return load_films(data_dir, "train", img_size=64, fit="pad", **options)


GREY_ONLY = Augmentation(rotation=0, zoom=0, aspect=0, shift=0.01, shear=1, flip=0, brightness=5)


@pytest.mark.parametrize("missing", [[], [3, 17, 18, 40]])
def test_sex_label_and_id_stay_with_their_image(coded_data, missing):
    """After shuffling and augmentation, also when files are missing."""
    for number in missing:
        (coded_data / "train" / f"{number}.png").unlink()
    films = load(coded_data)
    assert len(films) == N - len(missing)
    seen = set()
    for epoch in range(2):
        for step in range(steps_per_epoch(films, 8)):
            ids, images, sex, boneage = make_batch(films, 8, 7, epoch, step, GREY_ONLY)
            numbers = [decode_film(image[..., 0]) for image in images]
            assert [int(i) for i in ids] == numbers
            assert boneage[:, 0].tolist() == [5 * n for n in numbers]
            assert sex[:, 0].tolist() == [n % 2 for n in numbers]
            seen.update(numbers)
    assert len(seen) > 0.9 * len(films)


def test_films_are_let_go_with_their_batches(phantoms, tmp_path):
    """Those of ten folds would be too many files at once."""
    films = load_films(phantoms, "train", 32, "pad", cache_dir=tmp_path)
    seen, batches = weakref.ref(films), training_dataset(films, 8, 7, 0, 1)
    del films
    next(iter(batches))
    del batches
    gc.collect()
    assert seen() is None


def test_the_dataset_gives_the_batches_of_the_pure_function_in_order(coded_data):
    films = load(coded_data)
    steps = steps_per_epoch(films, 8)
    got = list(training_dataset(films, 8, 7, 0, 2, Augmentation()).as_numpy_iterator())
    assert len(got) == 2 * steps
    for number, (image, sex, boneage) in enumerate(got):
        expected = make_batch(films, 8, 7, *divmod(number, steps), Augmentation())
        assert np.array_equal(image, expected.image)
        assert np.array_equal(sex, expected.sex)
        assert np.array_equal(boneage, expected.boneage)


def test_batches_depend_on_seed_epoch_and_step_alone(coded_data):
    films = load(coded_data)

    def images(*where):
        return make_batch(films, 8, *where, Augmentation()).image

    assert np.array_equal(images(1, 0, 2), images(1, 0, 2))
    for other in ((2, 0, 2), (1, 1, 2), (1, 0, 3)):
        assert not np.array_equal(images(1, 0, 2), images(*other))


def test_a_film_is_changed_anew_in_each_epoch_and_step(coded_data):
    """Also where it is the only one, and so always in the same place."""
    films = load(coded_data)
    one = films.keep(np.arange(N) == 0)
    twice = Films(pd.concat([one.table] * 2), one.pixels.join(one.pixels), one.left_out)
    seen = [make_batch(twice, 1, 3, *where, Augmentation()).image for where in ((0, 0), (0, 1))]
    seen += [make_batch(one, 1, 3, epoch, 0, Augmentation()).image for epoch in (1, 2)]
    assert len(np.unique(seen, axis=0)) == 4


@pytest.mark.parametrize(
    "rows",
    [
        np.array([30, 2, 17]),
        [30, 2, 17],
        pd.Series([30, 2, 17], index=[5, 6, 7]),
        np.isin(np.arange(N), [2, 17, 30]),
        [i in (2, 17, 30) for i in range(N)],
        *(
            pd.Series([i in (2, 17, 30) for i in reversed(range(N))], range(N)[::-1], dtype)
            for dtype in ("bool", "boolean")
        ),
    ],
)
def test_rows_are_kept_or_left_out_with_their_images(coded_data, rows):
    """By positions, as KFold gives them, or by a mask; a column of one has an order of its own."""
    films = load(coded_data)
    kept, rest = films.keep(rows), films.leave_out(rows, "held out")
    for part in (kept, rest):
        assert list(map(decode_film, part.pixels[:])) == part.table["id"].astype(int).tolist()
    assert sorted(kept.table["id"].astype(int)) == [3, 18, 31]
    assert rest.left_out["id"].tolist() == kept.table["id"].tolist()
    assert len(rest) == N - 3
    assert films.keep(np.arange(N)[::-1]).table["id"].tolist() == films.table["id"].tolist()[::-1]
    assert films.leave_out([], "nobody") is films


def test_streams_differ_in_each_of_their_keys():
    streams = [(1, 0, 2, 3), (9, 0, 2, 3), (1, 9, 2, 3), (1, 0, 9, 3), (1, 0, 2, 9), (1, 0, 3, 2)]
    assert len({random_stream(*keys).random() for keys in streams}) == len(streams)


def test_an_epoch_holds_every_film_once():
    assert sorted(epoch_order(101, 3, 4)) == list(range(101))
    assert not np.array_equal(epoch_order(101, 3, 4), epoch_order(101, 3, 5))
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(101, 3, 4).sort()  # would change later batches


def test_fewer_films_than_a_batch_still_train(coded_data):
    films = load(coded_data)
    batch = make_batch(films, 64, 0, 0, 0)
    assert steps_per_epoch(films, 64) == 1
    assert len(batch.ids) == N


def test_no_films_are_an_empty_array(coded_data):
    pixels = load(coded_data).pixels
    for rows in ([], slice(0), np.zeros(N, bool)):
        assert pixels[rows].shape == (0, 64, 64)
        assert pixels[rows].dtype == np.uint8


def test_paths_to_read_may_be_one_or_any_sequence(coded_data):
    paths = [coded_data / "train" / f"{number}.png" for number in (3, 17, 30)]
    for several in (iter(paths), pd.Series(paths, index=[2, 1, 0])):
        pixels, _ = pixel_cache.read_pixels(several, 64, "pad")
        assert list(map(decode_film, pixels[:])) == [3, 17, 30]
    for one in (paths[0], str(paths[0])):
        assert decode_film(pixel_cache.read_pixels(one, 64, "pad")[0][0]) == 3
    with pytest.raises(UserError, match="no films to read"):
        pixel_cache.read_pixels([], 64, "pad")


def test_a_step_beyond_the_epoch_is_named(coded_data):
    films = load(coded_data)
    assert len(make_batch(films, 16, 0, 0, 2).ids) == N - 32
    with pytest.raises(UserError, match="no step 3 in an epoch of 40 films"):
        make_batch(films, 16, 0, 0, 3)


def test_left_out_rows_are_named_with_their_reason(coded_data):
    table = pd.read_csv(coded_data / "df_train.csv").astype({"boneage": "float"})
    table.loc[0, "boneage"] = np.nan
    table.loc[1, ["sex", "gender"]] = [np.nan, None]
    table = table.drop(columns="filename")
    table.to_csv(coded_data / "df_train.csv", index=False)
    (coded_data / "train" / "3.png").unlink()
    truncated = coded_data / "train" / "34.png"
    truncated.write_bytes(truncated.read_bytes()[:60])
    films = load(coded_data)
    reasons = dict(zip(films.left_out["id"], films.left_out["reason"], strict=True))
    assert reasons == {
        "1": "no usable age",
        "2": "no usable sex",
        "3": "no file",
        "34": "truncated file",
    }
    # where there is a film it is named, though the table doesn't
    assert films.left_out["filename"].tolist() == ["1.png", "2.png", "", "34.png"]
    kept = [number for number in range(4, N + 1) if number != 34]
    assert films.table["id"].astype(int).tolist() == kept
    assert [decode_film(image) for image in films.pixels[range(len(films))]] == kept


@pytest.mark.parametrize("ending", ["npy", "json"])
@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_a_damaged_cache_is_made_anew(coded_data, ending, damage):
    expected = load(coded_data).pixels[range(N)]
    path = next(coded_data.rglob(f"*-*/*.{ending}"))
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    for _ in range(2):
        assert np.array_equal(load(coded_data).pixels[range(N)], expected)
    assert path.stat().st_size > 10


def test_another_file_size_time_or_reader_has_another_shard(tmp_path, monkeypatch):
    def key(name="film.png", **written):
        film = tmp_path / name
        if written:
            film.write_bytes(written["data"])
            os.utime(film, ns=(written["time"], written["time"]))
        return pixel_cache.pixels_key([film], 64, "hand")

    first = key(data=b"12", time=0)
    assert key() == first
    assert key("other.png", data=b"12", time=0) != first
    monkeypatch.setattr(pixel_cache, "CODE", "of other modules")
    assert key() != first
    monkeypatch.undo()
    assert key(data=b"34", time=5) != first
    assert key(data=b"345", time=0) != first


def test_code_is_known_again_but_for_comments(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    codes = ["GREY = 1\n", "# why\n\nGREY = 1  # of 2\n", "GREY = 2\n"]
    for number, code in enumerate(codes):
        (tmp_path / f"code_{number}.py").write_text(code)
    same, commented, other = (hash_code(f"code_{number}") for number in range(3))
    assert same == commented != other
    assert hash_code("code_0", "code_2") not in (same, other)


def test_every_module_that_decides_pixels_names_their_cache():
    assert {"util", *modules_behind("util.radiographs")} == set(pixel_cache.READER)


def test_a_film_that_was_too_large_is_read_when_larger_ones_are_allowed(tmp_path, monkeypatch):
    keys = set()
    for most in ("100", "200"):
        monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", most)
        keys.add(pixel_cache.pixels_key([tmp_path / "film.png"], 64, "hand"))
    assert len(keys) == 2


def test_films_of_one_size_and_time_whose_names_were_swapped_are_read_again(tmp_path):
    """As an archive may give all its films one time, and films without compression one size."""
    one, other = tmp_path / "1.bmp", tmp_path / "2.bmp"
    for film, level in ((one, 50), (other, 200)):
        cv2.imwrite(str(film), np.random.default_rng(level).integers(0, level, (64, 64), np.uint8))
        os.utime(film, ns=(0, 0))
    read = partial(pixel_cache.read_pixels, [one, other], 32, "stretch", tmp_path / "cache", None)
    before = read()[0][[0, 1]]
    assert one.stat().st_size == other.stat().st_size
    time.sleep(0.05)  # file systems count in steps of some milliseconds
    for old, new in ((one, "x.bmp"), (other, "1.bmp"), (tmp_path / "x.bmp", "2.bmp")):
        old.rename(tmp_path / new)
    assert np.array_equal(read()[0][[1, 0]], before)


@pytest.fixture
def reads(monkeypatch):
    """The paths of the films that are decoded, in a list that grows."""
    paths, read = [], pixel_cache.read_canvases

    def note(some, *rest):
        paths.extend(some)
        return read(some, *rest)

    monkeypatch.setattr(pixel_cache, "read_canvases", note)
    return paths


def test_cache_is_used_and_rebuilt_only_for_what_changed(coded_data, reads):
    first = load(coded_data).pixels[range(N)]
    assert len(reads) == N
    reads.clear()
    assert np.array_equal(load(coded_data).pixels[range(N)], first)
    assert reads == []
    cv2.imwrite(str(coded_data / "train" / "5.png"), 255 - coded_film(5))
    second = load(coded_data).pixels[range(N)]
    assert len(reads) == 10
    assert [i for i in range(N) if not np.array_equal(first[i], second[i])] == [4]


def test_a_shard_that_another_process_wrote_meanwhile_stays(tmp_path):
    """Windows would not replace it, as that process has mapped it; a damaged one is replaced."""
    path, facts = tmp_path / "cache" / "shard.npy", {"failures": {}}
    first, second = np.zeros((2, 4, 4), np.uint8), np.ones((2, 4, 4), np.uint8)
    pixel_cache.save_shard(first, facts, path)
    np.save(tmp_path / "mine.npy", second)
    pixel_cache.keep_first(tmp_path / "mine.npy", path)
    assert np.array_equal(np.load(path), first)
    path.write_bytes(b"damaged")
    assert np.array_equal(pixel_cache.save_shard(second, facts, path), second)


def test_a_killed_build_goes_on_where_it_was(coded_data, reads, monkeypatch):
    read = pixel_cache.read_canvases

    def killed(paths, *rest):
        if len(reads) + len(paths) > 25:
            raise KeyboardInterrupt
        return read(paths, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pixel_cache, "read_canvases", killed)
        with pytest.raises(KeyboardInterrupt):
            load(coded_data)
    reads.clear()
    films = load(coded_data)
    assert len(reads) == 20
    assert [decode_film(image) for image in films.pixels[range(N)]] == list(range(1, N + 1))


def test_pixels_are_asked_for_as_of_an_array(coded_data):
    pixels = load(coded_data).pixels
    assert decode_film(pixels[3]) == decode_film(pixels[np.int64(3)]) == 4
    assert [decode_film(film) for film in pixels[-3:]] == [38, 39, 40]
    assert [decode_film(film) for film in pixels] == list(range(1, N + 1))


def test_a_split_that_there_is_not_is_an_error(coded_data):
    with pytest.raises(UserError, match=r"unknown split \(validation\). Known: train, val, test"):
        load_films(coded_data, "validation", 64, "pad")


def test_another_canvas_is_another_cache(coded_data):
    small = load_films(coded_data, "train", img_size=32, fit="stretch")
    assert small.pixels[[0]].shape == (1, 32, 32)
    assert load(coded_data).pixels[[0]].shape == (1, 64, 64)


@pytest.mark.parametrize("gone", ["", "df_train.csv", "train"])
def test_missing_data_is_one_line_that_names_the_path(coded_data, gone):
    target = coded_data / gone
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(UserError, match=str(target)):
        load(coded_data)


def test_folder_without_the_films_of_the_table(coded_data):
    for path in (coded_data / "train").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="40 no file"):
        load(coded_data)
