"""The hand crop: the network in numpy is the one that was trained, and no joint is cut."""

import json

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, edit_json

from hand_crop import localiser, train_localiser
from hand_crop.command import save_layers
from hand_crop.fit import build_network
from hand_crop.network import forward, load_layers, shrink
from preprocessing import load_films
from util.errors import UserError
from util.files import write_json
from util.phantoms import phantom
from util.predicting.ensemble import open_ensemble
from util.radiographs import cut_to, read_canvases
from util.runs import Run
from util.split_records import record_hand_crop


def test_numpy_computes_what_keras_trained():
    keras.utils.set_random_seed(1)
    trained = build_network(4)
    weights = trained.get_weights()
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    films = np.random.default_rng(0).integers(0, 256, (3, 64, 64)).astype(np.uint8)
    expected = trained(films[..., None].astype("float32"), training=False)
    np.testing.assert_allclose(forward(films, layers), expected, atol=1e-5)


def test_layers_survive_the_file(tmp_path):
    layers = load_layers(localiser.WEIGHTS)
    save_layers(layers, tmp_path / "layers.npz")
    for ours, theirs in zip(load_layers(tmp_path / "layers.npz"), layers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_hull_moves_with_the_film():
    """A bright square is where its box says, after any change."""
    film = np.zeros((train_localiser.FILM_SIDE, train_localiser.FILM_SIDE), np.uint8)
    film[60:90, 70:110] = 200
    boxes = np.array([[70, 60, 110, 90]]) / train_localiser.FILM_SIDE
    for seed in range(20):
        rng = np.random.default_rng(seed)
        matrix = train_localiser.random_affine(
            train_localiser.FILM_SIDE, rng, train_localiser.CHANGES
        )
        rows, columns = np.nonzero(train_localiser.warp(film, matrix) > 100)
        box = train_localiser.hull(boxes, matrix) * train_localiser.FILM_SIDE
        # the box keeps its sides upright: a turned square reaches a little beyond it
        assert np.abs((columns.min() + columns.max()) / 2 - (box[0] + box[2]) / 2) < 1.5
        assert np.abs((rows.min() + rows.max()) / 2 - (box[1] + box[3]) / 2) < 1.5


def in_a_large_film(number):
    """A phantom in the middle of a dark film of twice its area: (film, where its bright bones
    are)."""
    film, *_ = phantom(1, "test", number, height=200)
    height, width = film.shape
    large = np.full((height * 3 // 2, width * 3 // 2), np.median(film[0]), np.uint8)
    top, left = height // 4, width // 4
    large[top : top + height, left : left + width] = film
    bones = np.zeros_like(large)
    bones[top : top + height, left : left + width] = film > 0.7 * film.max()
    return large, bones


def tilted(film, bones):
    """Turned by 20 degrees about the middle."""
    height, width = film.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 1)
    turned = cv2.warpAffine(film, matrix, (width, height), borderValue=int(film[0, 0]))
    return turned, cv2.warpAffine(bones, matrix, (width, height), flags=cv2.INTER_NEAREST)


def framed(level):
    """A change: a frame of a tenth of each side, of one grey level."""

    def frame(film, bones):
        film, (height, width) = film.copy(), film.shape
        across, down = width // 10, height // 10
        film[:down], film[-down:], film[:, :across], film[:, -across:] = [level] * 4
        return film, bones

    return frame


def light(film, bones):
    """On a light background."""
    return np.maximum(film, 110), bones


CHANGES = [lambda *film: film, tilted, framed(0), framed(255), light]
NAMES = ["plain", "tilted", "black frame", "white frame", "light background"]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_a_small_hand_is_found_and_not_cut(number, change):
    large, bones = change(*in_a_large_film(number))
    [(left, top, right, bottom)], _ = localiser.find_hands([shrink(large)], [large.shape])
    rows, columns = np.nonzero(bones)
    assert left <= columns.min()
    assert right > columns.max()
    assert top <= rows.min()
    # the forearm may go, the wrist may not
    below = rows.max() + 1
    assert bottom >= below - 0.1 * (below - rows.min())
    assert (right - left) * (bottom - top) < 0.5 * large.size


def find_hand(film):
    """The box of the hand on a film, as films are cut to it."""
    found = localiser.find_hands([shrink(film)], [film.shape])
    [box], _ = localiser.look_closer([film], *found)
    return box


@pytest.mark.parametrize("number", range(6))
def test_a_hand_on_a_ninth_of_a_film_is_cut_as_closely_as_without_the_frame(number):
    film, *_ = phantom(1, "test", number, height=200)
    height, width = film.shape
    framed = cv2.copyMakeBorder(film, height, height, width, width, cv2.BORDER_CONSTANT)
    box, expected = find_hand(framed), find_hand(film) + np.array([width, height] * 2)
    np.testing.assert_allclose(box, expected, atol=0.08 * height)


def test_further_looks_change_nothing_where_they_are_not_certain(monkeypatch):
    """Neither at a part of a few pixels, where there is nothing more to see."""
    looks = []

    def uncertain(films, shapes):
        looks.append(shapes)
        return [None] * len(films), [True] * len(films)

    monkeypatch.setattr(localiser, "find_hands", uncertain)
    films = [np.zeros((side, side), np.uint8) for side in (200, 200, 60)]
    boxes, unlike = [(50, 50, 120, 120), (0, 0, 190, 190), (10, 10, 30, 30)], [False, True, False]
    assert localiser.look_closer(films, boxes, unlike) == (boxes, unlike)
    assert looks == localiser.LOOKS * [[(90, 90)]]  # the first film alone


def two_hands():
    """One above the other on one film: which of them is meant?"""
    films = [cv2.resize(phantom(1, "test", number, height=200)[0], (150, 200)) for number in (0, 5)]
    return np.vstack(films)


def test_a_film_of_two_hands_is_taken_whole():
    large, _ = in_a_large_film(0)
    films = [large, two_hands(), large]
    boxes, _ = localiser.find_hands(
        [shrink(film) for film in films], [film.shape for film in films]
    )
    assert [box is None for box in boxes] == [0, 1, 0]


def test_the_canvas_shows_the_hand_stretched_by_its_own_greys(tmp_path):
    """A bright marker outside the hand changes nothing within the cut."""
    large, _ = in_a_large_film(0)
    marked = large.copy()
    marked[5:20, 5:20] = 255
    for name, film in (("plain", large), ("marked", marked)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), film)
    paths = [tmp_path / "plain.png", tmp_path / "marked.png"]
    plain, marked = read_canvases(paths, 96, "hand")
    assert not plain.oddities.whole
    assert not marked.oddities.whole
    assert np.abs(plain.image.astype(float) - marked.image).mean() < 8
    (whole,) = read_canvases(paths[:1], 96, "stretch")
    assert np.mean(plain.image > 100) > 1.5 * np.mean(whole.image > 100)


def test_films_that_are_taken_whole_are_counted_and_named(
    phantoms, done, tiny_mobilenet, tmp_path, monkeypatch
):
    """In the run, in the cache too, and by predict.py."""
    data = copy_data(phantoms, tmp_path / "Data")
    first = pd.read_csv(data / "df_train.csv", dtype={"id": str})["id"].iloc[0]
    film = next((data / "train").glob(f"{first}.*"))
    cv2.imwrite(str(film), two_hands())
    with tiny_mobilenet():
        done(
            *("train_advanced.py", "--data_dir", data, "--results_dir", tmp_path),
            *("--run_name", "run", "--backbone", "mobilenet", "--weights", "none"),
            *("--img_size", "48", "--batch_size", "8", "--epochs_frozen", "1"),
        )
    run = tmp_path / "run"
    counts = json.loads((run / "config.json").read_text())["hand_crop"]["whole"]
    assert counts["train"] >= 1
    with monkeypatch.context() as patch:
        patch.setattr("util.radiographs.find_hands", lambda *films: pytest.fail("found anew"))
        assert load_films(data, "train", 48, "hand").pixels.oddities.whole.sum() == counts["train"]
    process = done("predict.py", film, "--model", run, "--sex", "F")
    assert f"no hand found for certain, the whole film is used ({film})" in process.stderr
    process = done("evaluate.py", run, "--split", "train", "--out", tmp_path / "out")
    assert f"found for certain: {counts['train']}" in process.stdout
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["whole"] == counts["train"]


@pytest.fixture
def another_localiser(monkeypatch):
    """Within the test hands are found by other rules than before."""
    monkeypatch.setattr(localiser, "LARGEST_DOUBT", 0.01)
    localiser.localiser_version.cache_clear()
    yield
    monkeypatch.undo()
    localiser.localiser_version.cache_clear()


def test_a_run_remembers_its_localiser(phantoms, inside, done, tiny_mobilenet, tmp_path, request):
    """With another one films are cut anew, predictions come with a warning, and a training does
    not go on."""
    words = (
        *("train_advanced.py", "--data_dir", phantoms, "--cache_dir", tmp_path / "cache"),
        *("--results_dir", tmp_path, "--run_name", "run", "--backbone", "mobilenet"),
        *("--weights", "none", "--img_size", "48", "--batch_size", "8", "--epochs_frozen", "1"),
    )
    with tiny_mobilenet():
        done(*words)
    before = set((tmp_path / "cache").rglob("*.npy"))
    request.getfixturevalue("another_localiser")
    process = inside("predict.py", phantoms / "test", "--model", tmp_path / "run", "--sex", "F")
    assert "hand_crop/ changed since the run was trained" in process.stderr
    (tmp_path / "run" / "metrics.json").unlink()
    process = inside(*words, "--resume")
    check_error_line(process, "hand_crop/ changed since the run was started")
    assert set((tmp_path / "cache").rglob("*.npy")) > before


def test_a_run_does_not_go_on_with_films_turned_by_other_rules(tmp_path, monkeypatch):
    """As neither does one that was started when turned films stayed as they were."""
    run = Run(tmp_path)
    write_json(run.path("config.json"), {"options": {}})
    record_hand_crop(run, {})
    record_hand_crop(run, {})
    with edit_json(run.path("config.json")) as config:
        recorded = config["hand_crop"].pop("orientation")
    with pytest.raises(UserError, match="changed since the run was started"):
        record_hand_crop(run, {})
    with edit_json(run.path("config.json")) as config:
        config["hand_crop"]["orientation"] = recorded
    monkeypatch.setattr("util.split_records.orientation_version", lambda: "another")
    with pytest.raises(UserError, match="changed since the run was started"):
        record_hand_crop(run, {})


@pytest.mark.parametrize("network", ["localiser", "orientation"])
def test_an_ensemble_says_where_its_films_were_cut_or_turned_by_other_rules(
    small_run, network, monkeypatch
):
    assert not any("hand_crop/" in note for note in open_ensemble([small_run]).notes)
    monkeypatch.setattr(f"util.split_records.{network}_version", lambda: "another")
    assert any("hand_crop/" in note for note in open_ensemble([small_run]).notes)


def test_what_is_found_but_is_no_hand_leaves_the_film_whole(tmp_path):
    """A film is usable or not whatever the canvas; an empty cut is no reason to refuse it."""
    film = np.full((300, 300), 40, np.uint8)
    film[5:9, 5:9] = np.arange(240, 256).reshape(4, 4)
    cv2.imwrite(str(tmp_path / "film.png"), film)
    (canvas,) = read_canvases([tmp_path / "film.png"], 96, "hand")
    assert canvas.oddities.whole
    assert canvas.image.max() > 150


def test_a_cut_may_have_fewer_greys_than_a_film():
    """As in films of 4 bits: the others are in markers, outside the cut."""
    film = (np.arange(300)[None].repeat(300, axis=0) % 16).astype(np.uint8)
    film[100:200, 100:200] %= 4
    cut, whole = cut_to((100, 100, 200, 200), film, film)
    assert not whole
    assert len(np.unique(cut)) == 4


@pytest.mark.parametrize(
    "words", [["--fit", "pad", "--crop_hand"], ["--crop_hand", "--fit", "pad"]]
)
def test_one_way_to_fit_a_film_is_enough(words, inside):
    process = inside("train_advanced.py", *words)
    check_error_line(process, "not allowed with")


@pytest.fixture
def boxed(phantoms, tmp_path):
    """A table of joint boxes, all films with the same two."""
    ids = pd.read_csv(phantoms / "df_test.csv", dtype={"id": str})["id"]
    corners = {"xmin": [0.3, 0.5], "ymin": [0.2, 0.6], "xmax": [0.4, 0.7], "ymax": [0.3, 0.8]}
    boxes = pd.concat([pd.DataFrame({"id": id_} | corners) for id_ in ids])
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    paths = "--boxes", str(tmp_path / "boxes.csv"), "--images", str(phantoms / "test")
    return [*paths, "--steps", "20"]


def test_a_network_never_finds_the_hand_on_films_it_was_trained_on(monkeypatch):
    """Each film is found by another, and the box of a film is its own."""
    seen = []

    def train(films, joints, steps, seed):
        assert len(films) == len(joints)
        seen.append({film.item() for film in films})
        return len(seen) - 1

    def find(films, network):
        numbers = [film.item() for film in films]
        assert not seen[network].intersection(numbers)
        return numbers

    monkeypatch.setattr(train_localiser, "train", train)
    monkeypatch.setattr(train_localiser, "find_boxes", find)
    films = np.arange(13, dtype=np.uint8).reshape(13, 1, 1)
    found = train_localiser.cross_validate(films, [np.zeros((1, 4))] * 13, 20, 1)
    assert found == list(range(13))
    assert [len(films) for films in seen] == [9, 10, 10, 10]


def test_a_localiser_is_tested_trained_and_written(boxed, phantoms, tmp_path, capsys, monkeypatch):
    real, networks = train_localiser.train, []

    def train_once(*words):
        networks.append(networks[0] if networks else real(*words))
        return networks[-1]

    monkeypatch.setattr(train_localiser, "train", train_once)
    out = tmp_path / "localiser.npz"
    train_localiser.main([*boxed, "--out", str(out)])
    assert len(networks) == train_localiser.FOLDS + 1
    n = len(list((phantoms / "test").iterdir()))
    assert f"{n} films, each found by a network that never saw it" in capsys.readouterr().out
    film = shrink(two_hands())
    assert forward(film[None], load_layers(out)).shape == (1, 4)


@pytest.mark.parametrize(
    ("corner", "value"), [("xmax", 40), ("ymin", -0.1), ("ymax", 0.2), ("xmin", 0.7)]
)
def test_boxes_that_are_no_shares_are_named(boxed, phantoms, corner, value):
    """In pixels, out of the film, empty, and the wrong way round."""
    boxes = pd.read_csv(boxed[1])
    boxes.loc[3, corner] = value  # from 0.5 to 0.7 and from 0.6 to 0.8, in line 5 of the file
    boxes.to_csv(boxed[1], index=False)
    with pytest.raises(UserError, match="1 boxes aren't shares of the film's sides.* line 5"):
        train_localiser.read_boxes(boxed[1], phantoms / "test")


def test_a_box_may_reach_a_little_out_of_the_film(boxed, phantoms):
    boxes = pd.read_csv(boxed[1])
    boxes.loc[3, ["xmin", "xmax"]] = [-0.005, 1.005]
    boxes.to_csv(boxed[1], index=False)
    _, joints = train_localiser.read_boxes(boxed[1], phantoms / "test")
    assert joints[1][1].tolist() == [-0.005, 0.6, 1.005, 0.8]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("there.npz", "the file is there already"),
        ("name", ".npz"),
        ("no/folder.npz", "no such folder"),
    ],
)
def test_a_wrong_place_for_a_localiser_is_told_before_training(boxed, tmp_path, out, reason):
    (tmp_path / "there.npz").write_text("mine")
    with pytest.raises(UserError, match=reason):
        train_localiser.main([*boxed, "--out", str(tmp_path / out)])
    assert (tmp_path / "there.npz").read_text() == "mine"


def test_films_of_boxes_that_cannot_be_read_are_counted(boxed, tmp_path, capsys):
    """Too few that are left are told before any training."""
    films = tmp_path / "films"
    films.mkdir()
    for id_ in pd.read_csv(boxed[1], dtype=str)["id"].unique()[:-1]:
        (films / f"{id_}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="0 readable films, 4 or more are needed.*Add films"):
        train_localiser.read_boxes(boxed[1], films)
    n = len(list(films.iterdir()))
    assert f"left out: 1 without a film, {n} unreadable" in capsys.readouterr().out
