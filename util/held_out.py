"""Which films of an evaluation were held out from the model, and notes on those that weren't."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from util.errors import UserError
from util.identity import (
    are_among,
    fingerprint,
    hash_films,
    label_columns,
    loose_name,
    of_same_patients,
)
from util.metrics import read_predictions
from util.runs import FILM_HASHES, FILM_LISTS, Run, configs_of
from util.tables.labels import clean_id, tidy_path

LEARNED = ("train", "val")  # the splits of a run that its weights, epoch or intervals come from


def held_out(ensemble, table):
    """Return the mask `(n,)` of the films of a table that no part of an ensemble has learned from,
    and a list of notes on why the ensemble's errors may come out too small."""
    members = ensemble.members
    trained = [learned_from(m.run, m.config, "train", table) for m in members]
    chosen = np.any([learned_from(m.run, m.config, "val", table) for m in members], axis=0)
    fitted = fitted_to(ensemble, table)
    known = np.any([fitted, chosen, *trained], axis=0)
    notes = [
        note
        for member, learned in zip(members, trained, strict=True)
        for note in training_notes(member, table, learned)
    ]
    if fitted.any():
        notes.append(
            f"corrections and intervals of the model come from {fitted.sum()} of these films: their "
            "errors may come out too small"
        )
    if (chosen & ~fitted).any():
        notes.append(
            f"{(chosen & ~fitted).sum()} of these films were validation films, to choose an epoch: "
            "their errors may come out too small"
        )
    namesakes = (are_namesakes(ensemble, table) & ~known).sum()
    if namesakes:
        notes.append(
            f"{namesakes} of these films share id and sex with films that the model has learned from, "
            "but not the age: if they are the same films, its errors come out too small"
        )
    return ~known, notes


def training_notes(member, table, trained):
    """Yield warnings that the errors of a member on the films of a table may be too small.
    `trained` is the mask that `learned_from` returns for it."""
    folder = member.run.folder
    if trained.any():
        told = "patient" in label_columns(table) and (folder / FILM_LISTS["train"]).exists()
        same = ", or on others of the same children" if told else ""
        start = ", or the run that it started from," if "start" in member.config else ""
        yield (
            f"{folder}{start} was trained on {trained.sum()} of these films{same}: its errors come "
            "out too small"
        )
    elif not are_films_known(member, table):
        yield (
            f"{folder} comes without a list of its training or validation films: if some of these are "
            "among them, its errors come out too small"
        )
    if (folder / FILM_HASHES).exists() and not are_its_own(member, table):
        yield (
            f"{folder} knows its training films by a hash of id, sex and label: other films of the "
            "same children, or relabelled films, pass as new"
        )
    if started_from_unknown_films(member.run, member.config):
        yield (
            f"{folder} started from a run that was trained on other films, of which there is no list: "
            "if some of these are among them, its errors come out too small"
        )


def count_learned(ensemble, table, new):
    """Return how many films of a table an ensemble has learned from, given the mask of `held_out`;
    None where that is not known of all its members, and of the runs that these started from."""
    for member in ensemble.members:
        unknown = started_from_unknown_films(member.run, member.config)
        if unknown or not are_films_known(member, table):
            return None
    return int((~new).sum())


def are_films_known(member, table):
    """Whether it is known which films of a table a member was trained or selected on."""
    return lists_films(member.run, *LEARNED) or are_its_own(member, table)


def are_its_own(member, table):
    """Whether a table is the validation or the test split of a member."""
    data = member.config["data"]
    return fingerprint(table) in (data["val"]["fingerprint"], data["test"]["fingerprint"])


def lists_films(run, *splits):
    """Whether the folder of a run has lists of its films of these splits, or hashes of them."""
    hashed = (run.folder / FILM_HASHES).exists()
    return hashed or all((run.folder / FILM_LISTS[split]).exists() for split in splits)


def started_from_unknown_films(run, config):
    """Whether a run of this config descends from a run whose training films are unknown.

    The films of a run are unknown if its folder is gone or lists none, unless this run or an
    ancestor that lists its films was trained on the same ones.
    """
    known, unknown = {config["data"]["train"]["fingerprint"]}, set()
    for start, then in ancestors_of(run, config):
        listed = known if start and lists_films(start, "train") else unknown
        listed.add(then["data"]["train"]["fingerprint"])
    return bool(unknown - known)


def fitted_to(ensemble, table):
    """Return the mask `(n,)` of films of a table that corrections or intervals were fitted to.

    They are the films of --calibrate, the validation films of members whose lines or intervals are
    used, and other films of the same children.
    """
    named = ensemble.calibration["films"]
    fitted = np.zeros(len(table), bool)
    if named:
        films = by_each_age(pd.DataFrame(named))
        fitted = match_any_id(are_among, table, films) | of_same_patients(table, films)
    intervals = not named and ensemble.calibration["half_width"]
    for member in ensemble.members:
        if intervals or member.lines(ensemble.views):
            fitted |= are_films_of(member.run, member.config["data"], "val", table)
    return fitted


def learned_from(run, config, split, table):
    """Return the mask `(n,)` of the films of a table that a run, or any run it descends from, was
    trained on ("train"), or by which it chose an epoch ("val"). Other films of the same children
    count too, where known. If the folder of a run is gone, see `are_films_of`."""
    runs = [(run, config), *ancestors_of(run, config)]
    return np.any([are_films_of(each, then["data"], split, table) for each, then in runs], axis=0)


def ancestors_of(run, config):
    """Yield the runs that a run of this config descends from, each with its config as it was then.

    Each is looked for at its recorded path, and beside the run in case all were moved. It is None
    if it is gone, or has since been trained on other data.
    """
    for later, then in pairwise(configs_of(config)):
        folder = Path(later["options"]["weights"])
        starts = (Run(place) for place in (folder, run.folder.parent / folder.name))
        yield next((start for start in starts if data_or_none(start) == then["data"]), None), then


def data_or_none(run):
    """Return `data` of the config.json of a run; None where that file is missing or damaged."""
    try:
        return (run.config or {}).get("data")
    except UserError:
        return None


def are_films_of(run, data, split, table, or_children=True):
    """Return the mask `(n,)` of the films of a table that are in a split of a run, see `are_among`.

    With `or_children`, films that show the same children count too. A run that ships has hashes in
    place of lists. A hash covers id, sex and label together, so it recognises no other films of the
    same children. For a run with neither, or None, only the fingerprint in `data` (of config.json)
    is known: all films are its own, or none.
    """
    if run and (path := run.folder / FILM_LISTS[split]).exists():
        films = read_predictions(path)
        same = match_any_id(are_among, table, films)
        return same | of_same_patients(table, films) if or_children else same
    if run and (hashes := run.folder / FILM_HASHES).exists():
        known = pd.read_csv(hashes, dtype=str)
        known = known["film"][known["split"] == split]
        return match_any_id(have_hashes, table, known)
    return np.full(len(table), data[split]["fingerprint"] == fingerprint(table))


def are_namesakes(ensemble, table):
    """Return the mask `(n,)` of the films of a table that have the id and sex, whatever the age, of
    a film that a part of an ensemble has learned from, as far as there are lists of these."""
    paths = [m.run.folder / FILM_LISTS[split] for m in ensemble.members for split in LEARNED]
    lists = [read_predictions(path) for path in paths if path.exists()]
    if named := ensemble.calibration["films"]:
        lists.append(pd.DataFrame(named))
    same = [are_among(table, films, label=False) for films in lists]
    return np.any([np.zeros(len(table), bool), *same], axis=0)


def have_hashes(table, hashes):
    """Return the mask `(n,)` of the films of a table whose `hash_films` are among `hashes`."""
    return hash_films(table).isin(hashes).to_numpy()


def match_any_id(matches, table, films):
    """Return the mask `(n,)` of the films of a table that `matches(table, films)` finds, by their
    id or, if that comes from their path, by another id that the path may give (`ids_of_path`).

    A film with ages of several readers is also found by the age of one: its label is their mean,
    but a run may have learned from the first reader alone.
    """
    if "by_reader" in table:
        single = by_each_age(table.reset_index(drop=True))
        found = pd.Series(match_any_id(matches, single, films), single.index)
        return found.groupby(level=0).any().to_numpy()
    rows = list(enumerate(table["id"]))
    for column in {"path", "filename"} & set(table):
        for row, (id_, path) in enumerate(zip(table["id"], table[column], strict=True)):
            ids = ids_of_path(path)
            if loose_name(id_) in map(loose_name, ids):
                rows += [(row, other) for other in ids]
    named = pd.DataFrame(rows, columns=["row", "id"]).drop_duplicates()
    same = table.iloc[named["row"]].assign(id=named["id"].to_numpy())
    known = np.zeros(len(table), bool)
    known[named["row"][matches(same, films)]] = True
    return known


def by_each_age(films):
    """Return films with a row for each age that one may be labelled with: that of each reader, and
    their mean; unchanged without the column `by_reader`. Rows of one film share their index."""
    if "by_reader" not in films:
        return films
    ages = [[mean, *given] for mean, given in films[["boneage", "by_reader"]].to_numpy()]
    single = films.drop(columns="by_reader").assign(boneage=ages).explode("boneage")
    return single.astype({"boneage": float})


def ids_of_path(path):
    """Return the ids that a table may give the film at a path, see `ids_of`: its name, alone or
    after one or more of its folders, without and with the ending."""
    parts = [part.strip(":") for part in tidy_path(path.replace("\\", "/")).split("/")]
    parts = [part for part in parts if part]
    names = ["_".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    return [clean_id(name) for name in names] + [name.replace(".", "_") for name in names]
