"""evaluate.py on a trained run: right months, right order, films that it learned from told of
(util/evaluating/evaluation.py, held_out.py)."""

import itertools
import json
import shutil
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from commands import check_error_line
from files import copy_data, edit_json

from util.files import hash_file
from util.finished_runs import read_run
from util.held_out import (
    count_learned,
    fitted_to,
    held_out,
    learned_from,
    training_notes,
)
from util.identity import are_among, fingerprint, hash_films, of_same_patients
from util.metrics import read_predictions
from util.predicting.members import Member
from util.runs import Run


def test_a_small_model_beats_the_median_baseline_twofold(evaluated):
    """On phantoms that no epoch has seen."""
    metrics = json.loads((evaluated[1] / "metrics.json").read_text())
    assert metrics["n"] == 90
    assert 2 * metrics["mae"] < metrics["baseline"]["mae"]


def test_evaluation_repeats_what_the_run_says_of_its_test_split(trained, evaluated):
    expected = pd.read_csv(trained[0] / "predictions_test.csv", dtype={"id": str})
    found = read_predictions(evaluated[1] / "predictions.csv")
    pd.testing.assert_frame_equal(found.drop(columns=["low", "high", "note"]), expected)
    inside = found["boneage"].between(found["low"], found["high"])
    metrics = json.loads((evaluated[1] / "metrics.json").read_text())
    assert inside.mean() == pytest.approx(metrics["intervals"]["all"]["covered"])


def test_an_evaluation_says_what_it_was_made_with(trained, evaluated):
    metrics = json.loads((evaluated[1] / "metrics.json").read_text())
    config = json.loads((trained[0] / "config.json").read_text())
    words = [str(trained[0]), "--tta_steps", "1", "--out", str(evaluated[1])]
    assert metrics["command"][1:] == words
    assert metrics["films"]["fingerprint"] == config["data"]["test"]["fingerprint"]
    assert metrics["models"] == [hash_file(trained[0] / "model.keras")]
    assert metrics["baseline"]["source"] == "training films"
    assert metrics["baseline"]["months"] == config["data"]["train"]["median"]
    assert metrics["environment"]["versions"].items() >= config["versions"].items()


def test_an_evaluation_leaves_a_report_of_its_figures(trained, evaluated):
    metrics = json.loads((evaluated[1] / "metrics.json").read_text())
    report = (evaluated[1] / "report.md").read_text()
    rows = [line[2:-2].split(" | ") for line in report.splitlines() if line.startswith("| ")]
    errors = {name: cells for name, *cells in rows if len(cells) == 5}
    boys = metrics["by_sex_and_age"]["male"]["5-9 years"]
    for name, row in {"**all**": metrics, "boys, 5-9 years": boys}.items():
        assert errors[name][:2] == [str(row["n"]), f"{row['mae']:.2f}"]
    baseline = metrics["baseline"]
    assert errors[f"median baseline (always {baseline['months']:.0f})"][-1] == "-"
    for words in (
        *("# run on test\n", "- 90 rows: 90 evaluated\n", "from 0 of 90 films\n"),
        *(
            "95 % limits of agreement",
            "ICC(2,1)",
            "90 % intervals",
            hash_file(trained[0] / "model.keras"),
        ),
        f"keras {metrics['environment']['versions']['keras']}, ",
    ):
        assert words in report


def test_evaluation_prints_months_and_leaves_pictures(evaluated):
    process, out = evaluated
    for words in ("90 films, errors in months", "median baseline", str(out)):
        assert words in process.stdout
    names = {path.name for path in (out / "plots").iterdir()}
    kinds = ("predicted_vs_true", "bland_altman", "error_by_group", "largest_errors")
    prints = {f"{kind}_test.pdf" for kind in kinds[:3]}
    assert names == {f"{kind}_test.png" for kind in kinds} | prints


def test_views_are_averaged_film_by_film(trained, done, tmp_path):
    """S1, S2: the mean over views keeps its film, label and order; a run that was trained with
    views is evaluated with as many."""
    options = json.loads((trained[0] / "config.json").read_text())["options"]
    assert (options["use_tta"], options["tta_steps"]) == (True, 4)
    plain = pd.read_csv(trained[0] / "predictions_test.csv")
    views = pd.read_csv(trained[0] / "predictions_test_tta.csv")
    assert views[["id", "boneage"]].equals(plain[["id", "boneage"]])
    assert np.corrcoef(plain["predicted"], views["predicted"])[0, 1] > 0.9
    assert not np.allclose(plain["predicted"], views["predicted"], atol=0.1)
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    assert metrics["test_tta"]["mae"] == pytest.approx(views["error"].abs().mean())
    process = done("evaluate.py", trained[0], "--out", tmp_path / "out")
    assert "mean of 4 views" in process.stdout
    assert (
        read_predictions(tmp_path / "out" / "predictions.csv")["predicted"].tolist()
        == views["predicted"].tolist()
    )


def test_labels_in_another_order_give_the_same_prediction_for_each_film(
    trained, evaluated, done, tmp_path
):
    """A table of a stranger: shuffled, other headers, one film missing, one without sex."""
    table = pd.read_csv(trained[1] / "df_test.csv", dtype={"id": str}).sample(40, random_state=5)
    table["Sex"] = table["sex"].map({1: "M", 0: "F"})
    table.loc[table.index[3], "Sex"] = None
    usable = table["id"].drop(table.index[3]).tolist()
    table.loc[len(table) + 1000, ["id", "boneage", "Sex"]] = ["unknown", 100, "F"]
    table = table.rename(columns={"id": "Case ID", "boneage": "Bone Age (months)"})
    table[["Case ID", "Sex", "Bone Age (months)"]].to_csv(tmp_path / "labels.csv", index=False)
    process = done(
        *("evaluate.py", trained[0], "--csv", tmp_path / "labels.csv"),
        *("--images", trained[1] / "test", "--tta_steps", "1", "--out", tmp_path / "out"),
    )
    got = read_predictions(tmp_path / "out" / "predictions.csv")
    assert got["id"].tolist() == usable  # in the order of the table
    both = got.merge(read_predictions(evaluated[1] / "predictions.csv"), on="id")
    np.testing.assert_allclose(both["predicted_x"], both["predicted_y"], atol=0.011)
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv", dtype=str)
    films = len(list((trained[1] / "test").iterdir()))
    reasons = {"no label": films - 40, "no file": 1, "no usable sex": 1}
    assert left_out["reason"].value_counts().to_dict() == reasons
    flow = json.loads((tmp_path / "out" / "metrics.json").read_text())["flow"]
    assert flow == {"rows": 41, "evaluated": 39, "films": films, "without_row": films - 40} | {
        "left_out": {"no file": 1, "no usable sex": 1}
    }
    told = f"41 rows, {films} films: 39 evaluated; left out: 1 no usable sex, 1 no file; "
    assert f"{told}{films - 40} films without a row" in " ".join(process.stdout.split())


def test_evaluation_never_writes_over_another(trained, small_run, inside, evaluated, tmp_path):
    before = (evaluated[1] / "predictions.csv").stat().st_mtime_ns
    process = inside("evaluate.py", trained[0], "--out", evaluated[1])
    check_error_line(process, "that already exists", str(evaluated[1]))
    assert (evaluated[1] / "predictions.csv").stat().st_mtime_ns == before
    run = shutil.copytree(small_run, tmp_path / "run")
    for place in ("evaluation_test", "evaluation_test_2"):
        process = inside("evaluate.py", run)
        assert process.stdout.endswith(f"{run / place}\n")


def test_mistakes_of_evaluate_are_one_line_each(trained, inside, tmp_path):
    run, data = trained
    (tmp_path / "words.csv").write_text("id,boneage,sex\n1,100,F\n")
    (tmp_path / "columns.csv").write_text("id,sex\n1,M\n")
    (tmp_path / "empty.csv").write_text("")
    films, own = ["--images", data / "test"], "films of your own: --csv labels.csv --images films/."
    cases = [
        ([tmp_path / "nowhere"], ["no trained run", "nowhere"]),
        ([run, "--data_dir", tmp_path / "nowhere"], ["no data folder", "nowhere", own]),
        ([run, "--data_dir", tmp_path], ["df_test.csv is missing", own]),
        (["--ensemble", run], ["an ensemble of one run", "leave out --ensemble"]),
        ([run, "--csv", tmp_path / "none.csv", *films], ["no such table"]),
        ([run, "--csv", tmp_path / "columns.csv", *films], ["no column for boneage"]),
        ([run, "--csv", tmp_path / "empty.csv", *films], ["empty.csv"]),
        (
            [run, "--csv", tmp_path / "words.csv", *films, "--male_value", "1"],
            ["--male_value 1 has no effect", "words.csv"],
        ),
        ([run, "--csv", data / "df_test.csv", "--images", tmp_path / "no"], ["no image folder"]),
        ([run, "--csv", data / "df_test.csv", "--images", data / "train"], ["no usable film"]),
    ]
    for words, expected in cases:
        check_error_line(inside("evaluate.py", *words), *expected)


def test_an_evaluation_says_when_films_were_not_held_out(trained, evaluated, done, tmp_path):
    run, data = trained
    assert "was trained on" not in evaluated[0].stdout
    (tmp_path / "Data").mkdir()
    (tmp_path / "Data" / "test").symlink_to(data / "train")
    (tmp_path / "Data" / "df_test.csv").symlink_to(data / "df_train.csv")
    words = ["--data_dir", tmp_path / "Data", "--out", tmp_path / "other", "--tta_steps", "1"]
    process = done("evaluate.py", run, *words)
    note = f"{run} was trained on {len(pd.read_csv(data / 'df_train.csv'))} of these films"
    assert f"note: {note}" in process.stdout
    metrics = json.loads((tmp_path / "other" / "metrics.json").read_text())
    assert metrics["notes"][0].startswith(note)
    assert metrics["films"]["data_dir"] == str(tmp_path / "Data")


def test_an_evaluation_on_training_films_says_so_and_tells_no_coverage(trained, done, tmp_path):
    words = ["--split", "train", "--out", tmp_path / "out", "--tta_steps", "1"]
    process = done("evaluate.py", trained[0], *words)
    assert f"note: {trained[0]} was trained on" in process.stdout
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["intervals"] is None


def test_an_evaluation_says_when_films_of_a_table_trained_the_run(
    small_run, phantoms, done, tmp_path
):
    trained, chosen, others = (
        pd.read_csv(phantoms / f"df_{split}.csv") for split in ("train", "val", "test")
    )
    # the same ids in another hospital, or by another reader
    other_ages = pd.concat([trained[:1], chosen[:1]]).eval("boneage = boneage + 1")
    labels = pd.concat([other_ages, trained[1:3], others[:4]])
    labels.to_csv(tmp_path / "labels.csv", index=False)
    words = ["--csv", tmp_path / "labels.csv", "--images", phantoms]
    process = done("evaluate.py", small_run, *words, "--out", tmp_path / "out")
    assert f"note: {small_run} was trained on 2 of these films" in process.stdout
    assert "  the model is known to have learned from 2 of 8 films\n" in process.stdout
    assert (
        "note: 2 of these films share id and sex with films that the model has learned from"
        in process.stdout
    )
    process = done("evaluate.py", small_run, *words, "--held_out", "--out", tmp_path / "new")
    assert "left out: 2 a model has learned from it" in process.stdout
    assert "was trained on" not in process.stdout
    assert "  the model is known to have learned from 0 of 6 films\n" in process.stdout
    metrics = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert metrics["films"]["learned_from"] == 0
    evaluated = read_predictions(tmp_path / "new" / "predictions.csv")["id"]
    assert set(evaluated) == {*other_ages["id"].astype(str), *others["id"][:4].astype(str)}


def test_films_that_share_a_name_are_known_by_their_folders(small_run, tmp_path):
    """From whichever folder on the tables of the training and of the evaluation name them."""
    run, config = Run(tmp_path), read_run(small_run).config
    films = pd.DataFrame({"sex": [1, 0], "boneage": [100.0, 90.0]})
    places = ["/data/archive/p0/IM0.png", "/data/archive/p1/IM0.png"]
    spellings = ["p{}_IM0", "archive_p{}_IM0", "data_archive_p{}_IM0"]
    for trained, now in itertools.product(spellings, spellings):
        named = films.assign(id=[trained.format(i) for i in range(2)])
        named.to_csv(run.path("train_films.csv"), index=False)
        table = films.assign(id=[now.format(i) for i in range(2)], path=places)
        assert learned_from(run, config, "train", table).all()
        others = films.assign(id="IM0", path=places[::-1])
        assert not learned_from(run, config, "train", others).any()


@pytest.mark.parametrize(
    ("trained", "now", "filename", "path"),
    [
        ("1_png", "1", "1.png", "/films/1.png"),  # beside 1.jpg in one table, not in the other
        ("1", "1_png", "1.png", "/films/1.png"),
        ("p3_1_png", "1", "p3/1.png", "/films/p3/1.png"),
        ("D_study_p3_v1", "v1", r"D:\study\p3\v1.png", "/films/p3/v1.png"),
        ("v1", "D_study_p3_v1", r"D:\study\p3\v1.png", "/films/p3/v1.png"),
        ("1405", "1405_dcm_png", "1405.dcm.png", "/films/1405.dcm.png"),
    ],
)
def test_a_film_is_known_by_the_id_of_another_table(
    trained, now, filename, path, small_run, tmp_path
):
    """What an id is depends on what else its table names."""
    run, config = Run(tmp_path), read_run(small_run).config
    film = pd.DataFrame({"id": [trained], "sex": [1], "boneage": [100.0]})
    film.to_csv(run.path("train_films.csv"), index=False)
    table = film.assign(id=now, filename=filename, path=path)
    assert learned_from(run, config, "train", table).tolist() == [True]
    assert learned_from(run, config, "train", table.assign(boneage=99.0)).tolist() == [False]
    of_another_name = table.assign(id="H7")
    assert learned_from(run, config, "train", of_another_name).tolist() == [False]
    run.path("train_films.csv").unlink()
    hashes = pd.DataFrame({"split": "train", "film": hash_films(film)})
    hashes.to_csv(run.path("film_hashes.csv"), index=False)
    assert learned_from(run, config, "train", table).tolist() == [True]


def girls(*ids, boneage=90.0):
    return pd.DataFrame({"id": ids, "sex": 0, "boneage": boneage})


def member_of(folder, trained, chosen):
    """A member whose run lists these training and validation films; None for no lists."""
    folder.mkdir()
    for name, films in (("train_films.csv", trained), ("predictions_val.csv", chosen)):
        if films is not None:
            films.to_csv(folder / name, index=False)
    data = {split: {"fingerprint": f"{folder} {split}"} for split in ("train", "val", "test")}
    return Member(Run(folder), {"options": {}, "data": data})


def ensemble_of(*members, views=1, films=None, half_width=None):
    calibration = {"films": films, "half_width": half_width}
    return Namespace(members=members, views=views, calibration=calibration)


def test_films_that_any_part_of_an_ensemble_has_learned_from_are_not_held_out(tmp_path):
    a = member_of(tmp_path / "a", girls("1"), girls("2"))
    b = member_of(tmp_path / "b", girls("3"), girls("4"))
    table = pd.concat([girls("1", "2", "3", "4", "5", "6"), girls("03", "04", boneage=91.0)])
    new, notes = held_out(ensemble_of(a, b), table)
    assert new.tolist() == [False] * 4 + [True] * 4
    told = [note.partition(":")[0] for note in notes]
    assert told == [
        f"{tmp_path / 'a'} was trained on 1 of these films",
        f"{tmp_path / 'b'} was trained on 1 of these films",
        "2 of these films were validation films, to choose an epoch",
        "2 of these films share id and sex with films that the model has learned from, but not the "
        "age",
    ]
    of_a_calibration = girls("1", "2", "5", "6").to_dict("list") | {"boneage": [90.0, 90, 80, 90]}
    new, notes = held_out(ensemble_of(a, b, films=of_a_calibration), table)
    assert new.tolist() == [False] * 4 + [True, False, True, True]
    told = [note.partition(" of these films")[0] for note in notes[2:]]
    assert told == ["corrections and intervals of the model come from 3", "1", "3"]


def test_a_film_whose_id_got_its_folder_is_no_new_film_by_its_number(tmp_path):
    """As of films that each split numbers anew; a table of one split calls val/002.png 2."""
    member = member_of(tmp_path / "run", girls("train_001"), girls("val_002"))
    paths = ["val/002.png", "val/002.png", "train/001.png", "train/002.png"]
    table = girls("2", "002", "1", "2").assign(path=paths)
    assert held_out(ensemble_of(member), table)[0].tolist() == [False, False, False, True]


def test_validation_films_are_fitted_to_where_their_lines_or_intervals_are_used(tmp_path):
    member = member_of(tmp_path / "run", girls("1"), girls("2"))
    table = girls("1", "2", "3")

    def fitted(**options):
        return fitted_to(ensemble_of(member, **options), table).tolist()

    assert fitted() == [False, False, False]
    assert fitted(half_width={"all": {}}) == [False, True, False]
    (tmp_path / "run" / "calibration.json").write_text(
        '{"views_1": {"lines": null}, "views_4": {"lines": {"male": {}, "female": {}}}}'
    )
    assert fitted(views=1) == [False, False, False]
    assert fitted(views=4) == [False, True, False]
    assert fitted(views=4, films=girls("3").to_dict("list")) == [False, True, True]
    assert fitted(views=1, films=girls("3").to_dict("list"), half_width={"all": {}}) == [
        *(False, False, True)
    ]


def test_a_run_without_lists_knows_its_own_splits(tmp_path):
    """And the films of its hashes."""
    table, others = girls("1", "2"), girls("3")
    for split in ("val", "test"):
        member = member_of(tmp_path / split, None, None)
        member.config["data"][split]["fingerprint"] = fingerprint(table)
        none = np.zeros(2, bool)
        assert not list(training_notes(member, table, none))
        assert "without a list" in list(training_notes(member, others, none[:1]))[0]
        hashes = pd.DataFrame({"split": "train", "film": hash_films(girls("9"))})
        hashes.to_csv(tmp_path / split / "film_hashes.csv", index=False)
        assert not list(training_notes(member, table, none))
        (note,) = training_notes(member, others, none[:1])
        assert "knows its training films by a hash" in note
        ensemble = ensemble_of(member)
        assert count_learned(ensemble, others, np.array([True])) == 0


def test_two_runs_are_compared_on_films_that_are_held_out_of_both(
    small_run, phantoms, done, tmp_path
):
    for name in ("one", "other"):
        shutil.copytree(small_run, tmp_path / name)
    trained = pd.read_csv(small_run / "train_films.csv", dtype={"id": str})
    trained[5:].to_csv(tmp_path / "other" / "train_films.csv", index=False)
    with edit_json(tmp_path / "other" / "config.json") as config:
        config["options"] |= {"use_tta": True, "tta_steps": 3}
    table = pd.read_csv(phantoms / "df_test.csv", dtype=str)
    labels = pd.concat([pd.read_csv(phantoms / "df_train.csv", dtype=str)[:8], table])
    labels.to_csv(tmp_path / "labels.csv", index=False)
    runs = [tmp_path / name for name in ("one", "other")]
    words = ["--csv", tmp_path / "labels.csv", "--images", phantoms, "--held_out"]
    process = done("evaluate.py", *runs, *words)
    assert f"on the same {len(table)} films" in process.stdout
    assert process.stdout.startswith("note: one view per film, as the runs")
    out = tmp_path / "one" / "evaluation_labels_held_out"
    assert json.loads((out / "metrics.json").read_text())["films"]["held_out"]
    reasons = pd.read_csv(out / "left_out.csv")["reason"]
    assert (reasons == "a model has learned from it").sum() == 8


def test_other_files_of_the_same_names_are_told(small_run, evaluated, done, tmp_path):
    assert "not the same files" not in evaluated[0].stdout
    run = shutil.copytree(small_run, tmp_path / "run")
    with edit_json(run / "config.json") as config:
        config["data"]["test"]["files"] = 16 * "0"
    process = done("evaluate.py", run)
    assert "note: the test films are not the same files as in the run" in process.stdout


def test_two_runs_that_can_not_be_written_to_are_told_how_to_go_on(
    small_run, inside, done, tmp_path, monkeypatch
):
    """Before either is evaluated."""
    first, other = (shutil.copytree(small_run, tmp_path / name) for name in ("first", "other"))
    monkeypatch.setattr("os.access", lambda path, _: path != other)
    process = inside("evaluate.py", first, other)
    check_error_line(process, f"no permission to write to the folder ({other})", "a copy (cp -r)")
    assert not list(first.glob("evaluation*"))
    monkeypatch.undo()
    done("evaluate.py", first)


def test_films_that_are_no_more_those_of_the_run_are_not_taken_for_them(
    small_run, phantoms, inside, done, tmp_path
):
    run = shutil.copytree(small_run, tmp_path / "run")
    data = copy_data(phantoms, tmp_path / "Data")
    with edit_json(run / "config.json") as config:
        config["options"]["data_dir"] = str(data)
    table = pd.read_csv(data / "df_test.csv")
    table[1:].to_csv(data / "df_test.csv", index=False)
    process = inside("evaluate.py", run)
    check_error_line(process, f"not the test films of the run, which had {len(table)}", str(data))
    process = done("evaluate.py", run, "--data_dir", data)  # on request
    assert f"films of {data}" in process.stdout
    assert json.loads((run / "evaluation_test" / "metrics.json").read_text())["n"] == len(table) - 1


def test_no_film_held_out_is_one_line(small_run, inside, tmp_path):
    words = ["--split", "train", "--held_out", "--out", tmp_path / "out"]
    process = inside("evaluate.py", small_run, *words)
    check_error_line(process, "a model has learned from all of")
    assert not (tmp_path / "out").exists()


def test_validation_films_of_a_fold_have_no_clahe_copies(small_run, phantoms, inside, tmp_path):
    fold = shutil.copytree(small_run, tmp_path / "fold_1")
    with edit_json(fold / "config.json") as config:
        config["options"] |= {"folds": 5, "fold": 1}
    process = inside("evaluate.py", fold, "--split", "val", "--use_clahe_val_test")
    check_error_line(process, "have no CLAHE copies")
    assert not (phantoms / "validation_CLAHE").exists()


def test_an_evaluation_says_when_it_was_corrected_by_these_films(trained, done, tmp_path):
    process = done("evaluate.py", trained[0], "--split", "val", "--out", tmp_path / "val")
    assert "corrections and intervals of the model come from 120 of these films" in process.stdout
    assert "90 % intervals" not in process.stdout


def test_so_it_says_of_some_of_them_in_another_order(trained, done, tmp_path):
    """And judges the intervals by the films that they were not fitted to."""
    val, test = (
        pd.read_csv(trained[1] / f"df_{s}.csv", dtype={"id": str}) for s in ("val", "test")
    )
    pd.concat([test[:20], val[:12:-1]]).to_csv(tmp_path / "labels.csv", index=False)
    words = ["--csv", tmp_path / "labels.csv", "--images", trained[1]]
    process = done("evaluate.py", trained[0], *words, "--out", tmp_path / "out")
    assert "corrections and intervals of the model come from 107 of these films" in process.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["n"], metrics["intervals"]["all"]["n"]) == (127, 20)


def test_films_that_may_have_been_trained_on_are_told(small_run, tmp_path):
    def notes(member, table):
        trained = learned_from(member.run, member.config, "train", table)
        return training_notes(member, table, trained)

    def learned(member, table):
        return count_learned(Namespace(members=[member]), table, np.ones(len(table), bool))

    run = read_run(small_run)
    config = run.config
    films = pd.read_csv(small_run / "train_films.csv", dtype={"id": str})
    other = films.assign(id="other " + films["id"])
    assert list(notes(Member(run, config), other)) == []
    assert learned(Member(run, config), other) == 0
    assert learned_from(run, config, "train", films.assign(id="00" + films["id"])).all()
    start = {"data": {"train": {"fingerprint": "of another hospital"}}}
    (note,) = notes(Member(run, config | {"start": start}), other)
    assert learned(Member(run, config | {"start": start}), other) is None
    assert "started from a run that was trained on other films" in note
    shipped = Member(Run(tmp_path), config)  # without a list
    (note,) = notes(shipped, films[1:])
    assert "comes without a list of its training or validation films" in note
    shutil.copy(small_run / "train_films.csv", tmp_path)  # validation films remain unknown
    assert list(notes(shipped, other)) == [note]
    assert learned(shipped, other) is None
    (tmp_path / "train_films.csv").unlink()
    (note,) = notes(shipped, films)
    assert f"was trained on {len(films)} of these films" in note


def test_films_of_children_that_were_trained_on_are_told():
    trained = pd.DataFrame({"id": ["1", "2"], "sex": 1, "boneage": 90, "patient": ["a", ""]})
    later = pd.DataFrame({"id": ["7", "8"], "sex": 1, "boneage": 99, "patient": ["a", ""]})
    assert of_same_patients(later, trained).tolist() == [True, False]
    namesake = later.assign(sex=0)  # a patient of that name in another hospital
    assert of_same_patients(namesake, trained).tolist() == [False, False]
    assert of_same_patients(later.drop(columns="patient"), trained).tolist() == [False, False]
    by_readers = pd.concat([trained, trained.assign(patient="")])  # a row for each of two readers
    assert of_same_patients(later, by_readers).tolist() == [True, False]
    assert of_same_patients(later.assign(patient=["00A", ""]), trained).tolist() == [True, False]
    calibrated = Namespace(calibration={"films": trained.to_dict("list")}, members=[])
    assert fitted_to(calibrated, later).tolist() == [True, False]


@pytest.mark.parametrize(("agree", "same"), [(0, False), (8, False), (9, True), (10, True)])
def test_patients_are_the_same_only_if_nearly_all_their_sexes_agree(agree, same):
    """Two hospitals may number their patients alike."""
    later = pd.DataFrame({"patient": [*"abcdefghij", "new"], "sex": 1})
    trained = later[:10].assign(sex=np.where(np.arange(10) < agree, 1, 0))
    assert of_same_patients(later, trained).tolist() == [same] * 10 + [False]


def test_films_are_known_whatever_the_digits_of_their_labels():
    """By lists of earlier versions, whose labels were not rounded, and that name a film twice."""
    ids, months = ["1", "01", "2"], [66.33333333, 66.333333, 90]
    films = pd.DataFrame({"id": ids, "sex": [1, 1, 0], "boneage": months})
    table = pd.DataFrame({"id": ["001", "2", "3"], "sex": [1, 0, 1], "boneage": [66.3333, 91, 90]})
    assert are_among(table, films).tolist() == [True, False, False]
    assert are_among(table, films, label=False).tolist() == [True, True, False]


def test_a_training_keeps_whose_its_films_are(phantoms, done, tiny, tmp_path):
    """So that another film of such a child is known, and no held-out one."""
    data, run = copy_data(phantoms, tmp_path / "Data"), tmp_path / "run"
    tables = {}
    for split in ("train", "val", "test"):
        table = pd.read_csv(data / f"df_{split}.csv", dtype=str)
        tables[split] = table.assign(patient=f"{split} " + table["id"])
        tables[split].to_csv(data / f"df_{split}.csv", index=False)
    words = ["--backbone", "mobilenet", "--weights", "none", "--img_size", "32"]
    words += ["--epochs_frozen", "1", "--data_dir", data]
    done("train_advanced.py", *words, "--results_dir", run.parent, "--run_name", run.name)
    later, trained = tables["test"], tables["train"]
    siblings = trained[trained["sex"] == later["sex"][0]]
    later.loc[0, "patient"] = siblings["patient"].iloc[0]
    later.to_csv(tmp_path / "later.csv", index=False)
    words = [run, "--csv", tmp_path / "later.csv", "--images", data / "test", "--out"]
    process = done("evaluate.py", *words, tmp_path / "all")
    assert "was trained on 1 of these films" in process.stdout
    done("evaluate.py", *words, tmp_path / "others", "--held_out")
    others = read_predictions(tmp_path / "others" / "predictions.csv")
    assert others["id"].tolist() == later["id"][1:].tolist()


def test_films_that_chose_the_epoch_are_not_held_out(small_run, phantoms, done, tmp_path):
    """Also where no interval and no line comes from them: over views that were not validated."""
    words = [small_run, "--split", "val", "--tta_steps", "3", "--out", tmp_path / "out"]
    process = done("evaluate.py", *words)
    assert "12 of these films" in process.stdout


def test_a_run_stores_its_calibration_and_checks_it_on_test_films(trained, evaluated):
    run = trained[0]
    calibrations = json.loads((run / "calibration.json").read_text())
    assert calibrations.keys() == {"views_1", "views_4"}  # it was trained with --use_tta
    assert calibrations["views_1"]["n"] == 120
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("test", "test_tta"):
        assert metrics[name]["intervals"]["all"]["n"] == 90
        assert metrics[name]["intervals"]["all"]["covered"] > 0.75
    again = json.loads((evaluated[1] / "metrics.json").read_text())
    assert again["intervals"] == metrics["test"]["intervals"]
    assert "90 % intervals" in evaluated[0].stdout
