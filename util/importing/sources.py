"""Labelled films from downloads of any shape: which tables belong to the films of a source."""

from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pandas as pd

from util.data_folder import SPLITS
from util.errors import UserError, print_note
from util.film_files import is_hidden, list_files
from util.identity import film_keys, loose_name
from util.importing.given_splits import (
    check_given_splits,
    given_split,
    note_lost_splits,
    several_splits,
    splits_of_folders,
    splits_of_rows,
)
from util.tables.labelled_films import match_with_headers
from util.tables.labels import check_male_value
from util.tables.left_out import count_reasons, split_usable, unlabelled_films, what_to_correct
from util.tables.readers import check_several_readers
from util.tables.text import TABLE_ENDINGS, WORKBOOKS, NoLabels, NoTable, read_table


def read_sources(sources, csv, male_value, readers, match_by):
    """Read all sources. Returns (usable films, left_out): every row, and every image without a row,
    is in one of them.

    With `readers`, the columns of --readers, labels are the means of several readers; for
    `match_by` see `find_by_element`. Raises UserError when there is no usable film, or when an id
    or a patient is in two given splits.
    """
    paths = [path for s in sources for path in s.films]
    if not paths:
        raise UserError(
            f"no films (--source {' '.join(s.name for s in sources)}). Name their folder or zip, and "
            "zips in a folder one by one: they are not opened."
        )
    films = drop_repeated_rows(read_rows(sources, csv, male_value, readers, match_by))
    for place in ("table", "row"):
        films[place] = [as_given(text, sources) for text in films[place]]
    if films["given_split"].nunique() == 1:  # one name for all films is no split
        films["given_split"] = ""
    check_given_splits(films)
    usable, left_out = split_usable(films)
    left_out["filename"] = [as_given(name, sources) for name in left_out["filename"]]
    if usable.empty:
        raise UserError(
            f"none of {len(films)} rows can be used: {count_reasons(left_out)} "
            f"({', '.join(s.name for s in sources)}). {what_to_correct(left_out, paths)} "
            "--csv names another table."
        )
    note_lost_splits(films, usable)
    if readers is not None:
        check_several_readers(usable)
    unlabelled = unlabelled_films({s.folder: s.films for s in sources}, films)
    return usable, pd.concat([left_out, unlabelled], ignore_index=True)


def read_rows(sources, csv, male_value, readers, match_by):
    """Read the rows of all sources with their films, see `read_labelled_films`; the sex may be that
    in the header of a DICOM film.

    A source with tables but no films, such as the annotations of the RSNA challenge, or that is a
    table itself, lends its tables to the sources without a table.
    """
    with_films = [s for s in sources if s.films]
    lent = [table for s in sources if s not in with_films for table in find_tables(s)]
    open_table, labelled = cache(read_table), {}  # to print notes on a table once

    def read(need_sex):
        def read_labels(table, images):
            key = table, *images
            if key not in labelled:
                rows, options = open_table(table), (need_sex, readers, match_by)
                films = match_with_headers(rows, table, images, male_value, *options)
                labelled[key] = films.assign(row_split=splits_of_rows(rows, table))
            return labelled[key]

        if csv:
            return read_labelled_films(with_films, [Path(csv)], read_labels, table_first=False)
        return read_with_tables(with_films, lent, read_labels)

    try:
        films = read(need_sex=True)
    except NoLabels:  # no table has the sexes: DICOM headers may
        films = read(need_sex=False)
    if male_value is not None:  # one of several tables may need it
        tables = sorted(set(films["table"]))
        of_films = [open_table(Path(table)) for table in tables]
        check_male_value(male_value, of_films, ", ".join(tables))
    return films


def read_with_tables(sources, lent, read_labels):
    """Read each source with the tables found in it. Sources without a table of labels are read with
    `lent`, the tables of sources that hold no films; prints if none needs these. For `read_labels`
    see `read_labelled_films`."""
    parts, borrowers, problem = [], [], None
    tables = {source.name: find_tables(source) for source in sources}
    for source in sources:
        try:
            parts.append(read_labelled_films([source], tables[source.name], read_labels))
        except NoLabels as error:
            borrowers.append(source)
            problem = problem or error
    if borrowers:
        try:
            several = len(lent) > 1
            parts.append(read_labelled_films(borrowers, lent, read_labels, table_first=several))
        except NoLabels:
            raise problem from None
    else:
        note_not_borrowed(lent, tables.values())
    films = pd.concat(parts, ignore_index=True)
    images = {str(path) for source in sources for path in source.films}
    if images - set(films["path"]):
        groups = [tables[source.name] for source in sources if source not in borrowers]
        note_workbooks([*groups, lent] if borrowers else groups, films)
    return films


def note_not_borrowed(lent, groups):
    """Print which of the tables `lent` are in none of `groups`, those of the sources of films."""
    own = {table.resolve() for tables in groups for table in tables}
    idle = [table.name for table in lent if table.resolve() not in own]
    if idle:
        print_note(
            f"not used, as the sources of films have labels of their own: {', '.join(idle)}. If some "
            "films need it, name their folder as another source"
        )


def note_workbooks(groups, films):
    """Print which workbooks have no row among the films that were read, in `groups` of tables of
    which a CSV has some: see `tables_with_labels`."""
    used = set(films["table"])
    idle = [
        table.name
        for tables in groups
        if any(str(table) in used and not is_workbook(table) for table in tables)
        for table in tables
        if is_workbook(table) and str(table) not in used
    ]
    if idle:
        print_note(
            f"not used, as CSVs hold labels: {', '.join(idle)}. If some films need it, name their "
            "folder as another source"
        )


def read_labelled_films(sources, tables, read_labels, *, table_first=True):
    """Read the labelled films of sources that share these tables: `read_labels` returns what
    `match_with_headers` does, and `splits_of_rows` as a column row_split, given the path of a table
    and those of the images.

    Returns the frame of `match_films` with three more columns: `given_split`, the split that names
    indicate ("train", "val", "test", or ""), `table`, its path, and `row`, the table and the line
    in it.

    The name of a film's table counts before that of its source, unless `table_first` is False. If
    these names give one split at most, but the names of folders, or else the rows, give two or
    more, those count: a table or source named "training" may hold all films.

    Tables that lack a needed column or have no rows are skipped; NoLabels when no table is left.
    UserError for a file that is no table, and for two tables of one split.
    """
    source_of = {str(path): source for source in sources for path in source.films}
    images = [Path(path) for path in source_of]
    labelled = tables_with_labels(sources, tables, images, read_labels)
    splits = [given_split(table, sources[0], table_first=table_first) for table in labelled]
    if len(set(splits)) < len(splits):
        names = ", ".join(map(str, labelled))
        raise UserError(
            f"several tables with labels: {names}. Choose one with --csv FILE"
            + (", from the unpacked zip." if sources[0].is_file else ".")
        )
    parts, folders = [], []
    for table, films in labelled.items():
        places = [source_of.get(path, sources[0]) for path in films["path"]]
        films["given_split"] = [
            given_split(table, source, table_first=table_first) for source in places
        ]
        films["table"] = str(table)
        films["row"] = [f"{table}, {line}" for line in films.index]
        parts.append(films)
        folders += [source.folder for source in places]
    films = pd.concat(parts, ignore_index=True)
    by_folder, by_row = splits_of_folders(films["path"], folders), films.pop("row_split")
    for splits in (by_folder, by_row):
        if not several_splits(films["given_split"]) and several_splits(splits):
            films["given_split"] = splits
    return films


def tables_with_labels(sources, tables, images, read_labels):
    """Return {path: labels with their films among `images`} of the tables that hold labels:
    workbooks only if no CSV does, as that may be made from one. For `read_labels` see
    `read_labelled_films`. NoLabels when no table does; UserError for a file that is no table."""
    labelled, problems = {}, []
    workbooks = [table for table in tables if is_workbook(table)]
    for group in ([table for table in tables if table not in workbooks], workbooks):
        for table in group:
            try:
                labelled[table] = read_labels(table, images)
            except NoLabels as error:
                problems.append(error)
            except NoTable as error:
                raise UserError(
                    f"{error} If it is no table of labels, name the one that is: --csv FILE."
                ) from None
        if labelled:
            return labelled
    if problems:
        raise problems[0]
    raise NoLabels(
        "no table with labels in or beside the source "
        f"(--source {' '.join(s.name for s in sources)}). Name it with --csv FILE."
    )


def find_tables(source):
    """Return the tables of a source: itself if it is one, those of the native layout if it has all
    of them, otherwise all tables in it and those beside it that have its name."""
    if is_table(Path(source.name)):
        return [Path(source.name)]
    native = [source.folder / place.table for place in SPLITS.values()]
    if all(path.is_file() for path in native):
        return native
    given = Path(source.name).absolute()
    beside = {
        path.resolve(): path
        for place in (given, given.resolve())  # a link, and what it points to
        for path in sorted(place.parent.glob("*"))  # nothing if it can't be listed
        if is_table(path) and path.stem in (place.stem, place.name)
    }
    inside = [path for path in list_files(source.folder) if is_table(path)]
    return [*inside, *beside.values()]


def is_workbook(table):
    return table.suffix.lower() in WORKBOOKS


def is_table(path):
    return path.suffix.lower() in TABLE_ENDINGS and not is_hidden(path.name) and path.is_file()


@contextmanager
def errors_as_given(sources):
    """Within the block, errors name the zip that a file is from, not the folder it was unpacked
    into, which will be gone."""
    try:
        yield
    except UserError as error:
        raise UserError(as_given(str(error), sources)) from None


def as_given(text, sources):
    """Return a text that names zips in place of the folders they were unpacked into."""
    for packed in (source for source in sources if source.is_file):
        text = text.replace(str(packed.folder), packed.name)
    return text


def drop_repeated_rows(films):
    """Drop rows that were read twice, as when a folder and its parent are both sources. A row
    without a film is dropped if it has one in another source, or if another table has one for the
    same id, sex and age, as when each source comes with the table of all."""
    has_film = films["path"] != ""
    # a row without a film may lack the sex that the header of the film tells
    told = films.groupby([films["id"].map(loose_name), "boneage"])["sex"].transform("first")
    label = film_keys(films.assign(sex=films["sex"].fillna(told))).map(str)
    in_table = films["table"] + " " + label
    has_film_elsewhere = films["row"].isin(films.loc[has_film, "row"]) | (
        (films["id"] != "")
        & label.isin(label[has_film])
        & ~in_table.isin(in_table[has_film])  # of two rows of one table, one is left out
    )
    with_film = has_film & ~films.duplicated(["row", "path"])
    without = ~has_film & ~has_film_elsewhere & ~films.duplicated("row")
    return films[with_film | without].reset_index(drop=True)
