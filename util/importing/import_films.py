"""Bring the labelled films of `sources` into the native layout: assign splits, place files."""

from pathlib import Path

import pandas as pd

from util.data_folder import IMPORT, LEFT_OUT, SHARES, SPLITS, new_data_folder
from util.environment import environment
from util.errors import UserError, printable
from util.files import quote, write_csv, write_json
from util.finished_runs import read_run
from util.identity import of_two_sexes
from util.importing.archives import open_source
from util.importing.given_splits import check_given_splits
from util.importing.import_splits import assign_splits, find_named, read_named, split_as_run
from util.importing.placing import place_films
from util.importing.sources import errors_as_given, read_sources
from util.split_table import next_step, print_splits
from util.tables.ages import years_note
from util.tables.headers import fill_patients
from util.tables.left_out import count_reasons, report_left_out
from util.tables.readers import agreement_of, format_readers, several_ages_notes


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
