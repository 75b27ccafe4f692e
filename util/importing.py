"""Bring the labelled films of `util.sources` into the native layout: assign splits, place files."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from util.ages import years_note
from util.archives import open_source
from util.data_folder import IMPORT, LEFT_OUT, SHARES, SPLITS, new_data_folder, write_tables
from util.dicom import is_dicom_file
from util.environment import environment
from util.errors import UserError, printable
from util.files import quote, write_csv, write_json
from util.film_files import is_hidden
from util.given_splits import check_given_splits
from util.headers import fill_patients
from util.held_out import are_films_of, lists_films
from util.identity import loose_name, of_two_sexes, patient_ids, patients_for_splits
from util.image_kinds import ENDINGS
from util.labelled_films import take_element_as_id
from util.labels import find_label_columns, labels_of
from util.left_out import count_reasons, report_left_out
from util.matching import trim_path
from util.parallel import map_films
from util.radiographs import UNREADABLE, RadiographError, check_regular, read_image
from util.readers import agreement_of, format_readers, several_ages_notes
from util.runs import read_run
from util.sources import errors_as_given, read_sources
from util.split_table import next_step, print_splits
from util.stratify import spread_out
from util.tables import read_table

# on a file system that ignores the case of names
ALIKE = "its name differs from another film's only in capital letters"
NOT_IN_NAMES = set('<>:"|?*' if os.name == "nt" else "")  # characters that are not allowed
DEVICES = {"CON", "PRN", "AUX", "NUL"} | {
    f"{kind}{n}" for kind in ("COM", "LPT") for n in range(1, 10)
}
NO_NAMES = DEVICES if os.name == "nt" else set()
LONGEST_FILE_NAME = 255  # bytes; what file systems can hold


# ------------------------------------------------------------------------------------- the import


def import_films(args):
    """Make the folder --data_dir from the films of --source.

    Returns (films, left_out, agreement): the films with their splits, those that were left out with
    the reasons, and what `agreement_of` says of the readers. UserError, and no folder, when nothing
    can be imported.
    """
    run = args.split_of and read_run(args.split_of)
    named = read_named(args.test_ids, args.match_by) if args.test_ids else None
    with new_data_folder(args.data_dir) as (work, ready):
        films, left_out = read_labelled_sources(args, run, work)
        tested = () if named is None else find_named(films, left_out, named, args.test_ids)
        films["patient"] = fill_patients(films)
        films["split"] = assign_splits(films, args.split or SHARES, args.seed, tested)
        films, failed = place_films(films, args.max_side, ready)
        left_out = pd.concat([left_out, failed])
        if films.empty:
            raise UserError(
                f"nothing to import: {count_reasons(left_out)} "
                f"(--source {' '.join(args.source)}). Correct the table."
            )
        write_csv(ready / LEFT_OUT, left_out)
        agreement = agreement_of(films, args.readers)
        write_json(ready / IMPORT, describe_import(args) | agreement)
    return films, left_out, agreement


def read_labelled_sources(args, run, work):
    """Read the films of --source, unpacked in the folder `work`; with a `run`, of --split_of, in
    the splits in which it had them. Returns (films, left_out)."""
    opened = [open_source(name, work) for name in args.source]
    with errors_as_given(opened):
        films, left_out = read_sources(
            opened, args.csv, args.male_value, args.readers, args.match_by
        )
        if run:
            films, others = split_as_run(films, run)
            check_given_splits(films)
            left_out = pd.concat([left_out, others])
    return films, left_out


def report_import(films, left_out, agreement, args):
    """Print what `import_films` returned, and the next step."""
    print_splits(films)
    for note in notes_on_names(films["given_split"], args):
        print(f"note: {note}")
    if agreement:
        print(format_readers(agreement["reader_agreement"]))
    for note in years_notes(films):
        print(f"note: {note}")
    patients = films["patient"][of_two_sexes(films)].value_counts()
    if len(patients):
        print(
            f"note: patients of two sexes: {len(patients)}, such as "
            f"{printable(patients.index[0])} in "
            f"{patients.iloc[0]} films: correct them, and leave unknown patients empty"
        )
    alone = (films["patient"] == "").sum()
    if 0 < alone < len(films):
        print(
            f"note: {alone} of {len(films)} films have no patient: each counts as a child of its own"
        )
    report_left_out(left_out, f"named in {Path(args.data_dir) / LEFT_OUT}")
    for note in several_ages_notes(left_out, args.readers):
        print(f"note: {note}")
    check = f"python check_nan_in_dfs.py --data_dir {quote(args.data_dir)}"
    print(f"\n{next_step(films['split'], check)}")


def years_notes(films):
    """Return notes, a list, if the ages of all films, or else those of a table, look like years."""
    tables = films.groupby("table", sort=False)
    of_tables = [note for table, part in tables for note in years_note(part, table)]
    return years_note(films, "all films") or of_tables


def notes_on_names(given, args):
    """Return notes on the splits that names gave to films, a column `given`; none under --split_of,
    which decides alone, or where they gave all three and --split was not typed."""
    if args.split_of:
        return []
    if set(given) >= set(SPLITS):
        typed = "the sources come with all three splits: --split has no effect"
        return [typed] if args.split else []
    effect = ": its share of --split has no effect" if args.split else ""
    return [
        f"films in {name} by the name of a table, source or folder, or a column split: "
        f"{(given == name).sum()}{effect}"
        for name in ("val", "test")
        if name in set(given)
    ]


# ---------------------------------------------------------------------------------------- splits


def assign_splits(films, shares, seed, tested=()):
    """Return the split of each film; given splits are kept, the others drawn.

    The drawn ones are stratified by sex and age. `shares` (train, val, test) are of all patients.
    All films of a patient go into one split, and those of the films `tested`, of which it is the
    index, always into test. UserError when no film is left to train on.
    """
    patients, given = patients_for_splits(films), set(films["given_split"]) - {""}
    split_of = fixed_splits(films, patients, tested)
    undecided = films[~patients.isin(split_of) & ~patients.duplicated()]  # one film of each patient
    waiting = list(patients[spread_out(undecided, seed)])
    shares = dict(zip(SPLITS, shares, strict=True))
    total = len(waiting) + len(split_of)
    for name in ("test", "val"):
        have = sum(split == name for split in split_of.values())
        wanted = 0 if name in given else round(shares[name] * total)  # a given split is complete
        drawn = waiting[: max(0, wanted - have)]
        split_of |= dict.fromkeys(drawn, name)
        waiting = waiting[len(drawn) :]
    if ("train" in given or shares["train"]) and not waiting:
        if len(undecided):
            raise UserError(
                f"none of {len(films)} films is left for training: {total} patients are too few for "
                "these shares. Give training a larger one (--split)."
            )
        raise UserError(
            f"none of {len(films)} films is for training: all are given to validation or test. "
            "Add the training films to --source, or rename a source that is not such a split"
            + (", or name fewer in --test_ids." if len(tested) else ".")
        )
    rest = "train" if "train" in given else next(name for name in SPLITS if shares[name])
    return patients.map(split_of | dict.fromkeys(waiting, rest))


def split_as_run(films, run):
    """Give films the splits in which a run had them, as a column `given_split`.

    Films match by id, sex and label, see `are_films_of`. Returns (films that have a split, a frame
    of the others with the reason). UserError where a split gets no film, or the run has neither
    lists nor hashes of its films.
    """
    if not lists_films(run, "train"):
        raise UserError(
            f"the run comes without a list of its films (--split_of {run.folder}). Name another."
        )
    split = pd.Series("", films.index)
    for name in SPLITS:
        split[are_films_of(run, run.config["data"], name, films, or_children=False)] = name
        if name not in set(split):
            raise UserError(
                f"none of {len(films)} films is among the {name} films of the run ({run.folder}). Name "
                "the sources that it was trained on."
            )
    known = split != ""
    others = films.loc[~known, ["id", "path"]].assign(reason=f"in no split of {run.folder.name}")
    others["filename"] = [Path(path).name for path in others.pop("path")]
    return films.assign(given_split=split)[known], others


def fixed_splits(films, patients, tested):
    """Return {patient: split} of the patients whose split isn't drawn.

    Their films are given for validation or test, or are among the `tested`, which go to test. Films
    given for training don't count, as splits that aren't given are drawn from them.
    """
    split = films["given_split"].replace("train", "")
    split[patients.isin(patients[list(tested)])] = "test"
    return dict(split[split != ""].groupby(patients).first())


def are_named(ids, named):
    """Return which of `ids` (a column) are among the ids `named`. 001405 also names 1405, unless
    the column has 001405 itself, or several ids that differ only in their zeros."""
    exact, loose = ids.isin(named), ids.map(loose_name)
    others = {loose_name(id_) for id_ in set(named) - set(ids)}
    return exact | (loose.isin(others) & ~loose.duplicated(keep=False))


def read_named(path, match_by):
    """Read what --test_ids names: the frame of `labels_of`, with patients only if the table has no
    other ids, and with names of files only if it has no ids beside them. For `match_by` see
    `take_element_as_id`."""
    table = take_element_as_id(read_table(path), match_by, path)
    columns, named = find_label_columns(table, path, need=()), labels_of(table, path, need=())
    first = columns["id"][0]
    if first not in columns["patient"]:  # the last of its synonyms: a table without other ids
        named["patient"] = ""
    if first not in columns["filename"] and columns["filename"]:
        named["filename"] = ""
    return named[named["id"] != ""]


def find_named(films, left_out, named, path):
    """Return the index of the films that `read_named` read from `path`: by their names in the
    tables, by patient, or by id.

    UserError when something names no film, or several, unless it was left out: it might come into
    another split.
    """
    names, patients = films["filename"].map(trim_path), patient_ids(films)
    told, of_patients = named["filename"].map(trim_path), patient_ids(named)
    ends = names.str.rpartition("/")[2]
    alone = ~ends.duplicated(keep=False)  # files whose folder need not be told
    name_of = dict(zip(ends[alone], names[alone], strict=True))
    told = told.map(lambda name: name_of.get(name, name))
    by_name = (told != "") & told.isin([*names, *left_out["filename"].map(trim_path)])
    by_patient = (of_patients != "") & any(patients)  # else patients are the ids
    found = names.isin(told[by_name]) | patients.isin(of_patients[by_patient])
    found |= are_named(films["id"], named["id"][~by_name & ~by_patient])
    known = pd.concat([films["id"][found], left_out["id"]]).map(loose_name)
    is_known = by_name | named["id"].map(loose_name).isin(known)
    unknown = named["id"][~is_known.mask(by_patient, of_patients.isin(patients))]
    if len(unknown):
        raise UserError(
            f"{len(unknown)} of {len(named)} rows name no film, or several, such as "
            f"{unknown.iloc[0]} (--test_ids {path}). Correct or remove them."
        )
    return films.index[found]


# ----------------------------------------------------------------------------------------- files


def describe_import(args):
    """Return what a data folder was made from, and how, ready for JSON.

    It has the command, the working folder, the environment, and the size in bytes of each file that
    the command names.
    """
    named = [Path(path) for path in (*args.source, args.csv, args.test_ids) if path]
    return {
        "command": args.command,
        "folder": str(Path.cwd()),
        "bytes": {str(path): path.stat().st_size for path in named if path.is_file()},
        "environment": environment(),
    }


def place_films(films, max_side, ready):
    """Bring films to `ready/<split folder>/<id><ending>` and write the tables of the splits.

    Files are hard-linked where the file system can, else copied. With `max_side` (pixels) they are
    rewritten as PNG, shrunk to it; DICOM files always are, as they name the patient. Returns (films
    in place, rows that failed with reasons).
    """
    rewritten = [is_rewritten(path, max_side) for path in films["path"]]
    endings = [
        ".png" if anew else Path(path).suffix.lower()
        for path, anew in zip(films["path"], rewritten, strict=True)
    ]
    names = films["id"] + endings

    def place(film):
        path, split, name, anew = film
        target = ready / SPLITS[split].folder / name
        if is_hidden(name):  # would be skipped where the folder is listed
            return "its id begins with a dot"
        if not NOT_IN_NAMES.isdisjoint(name):
            return "its id has a character that Windows forbids in file names"
        if name.partition(".")[0].upper() in NO_NAMES:
            return "its id is the name of a device on Windows"
        if len(os.fsencode(name)) > LONGEST_FILE_NAME:
            return "its id is too long for the name of a file"
        try:
            if anew:
                write_png(path, target, max_side)
            else:
                link_or_copy(path, target)
        except RadiographError as error:
            return error.reason
        return ""

    rows = list(zip(films["path"], films["split"], names, rewritten, strict=True))
    reasons = map_films(place, rows, "films")
    failed = np.array([reason != "" for reason in reasons], bool)
    placed = films.assign(filename=names)[~failed]
    write_tables(placed, ready)
    given = [Path(path).name for path in films["path"]]
    return placed, films[["id"]].assign(filename=given, reason=reasons)[failed]


def is_rewritten(path, max_side):
    return bool(max_side) or str(path).lower().endswith(ENDINGS["DICOM"]) or is_dicom_file(path)


def link_or_copy(path, target):
    """Hard-link a file, or copy it where the file system can't link; symbolic links are followed.

    RadiographError when it can't be read, or when the target exists: writing to that would write
    through its link into a user's film.
    """
    try:
        check_regular(path)
        os.link(os.path.realpath(path), target)
    except FileExistsError:
        raise RadiographError(path, ALIKE) from None
    except OSError:
        if not os.access(path, os.R_OK):
            raise RadiographError(path, UNREADABLE) from None
        with Path(path).open("rb") as film, new_file(target, path) as copy:
            shutil.copyfileobj(film, copy)
        shutil.copystat(path, target)


def write_png(path, target, max_side):
    """Write an image as PNG, shrunk so that no side is above `max_side` pixels (None or 0: no
    limit); 16 bit stays 16 bit."""
    image = read_image(path)
    scale = (max_side or max(image.shape)) / max(image.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in image.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    with new_file(target, path) as file:
        file.write(cv2.imencode(".png", image)[1].tobytes())


def new_file(target, path):
    """Open the new file `target` for the film at `path`; RadiographError when it exists."""
    try:
        return target.open("xb")
    except FileExistsError:
        raise RadiographError(path, ALIKE) from None
