"""Which film belongs to which row of a table."""

import re
from collections import Counter, defaultdict
from pathlib import PurePosixPath

from util.errors import UserError, counted, print_note
from util.film_files import composed, is_image, stem_of
from util.identity import loose_name
from util.tables.labels import clean_id, tidy_path

NO_FILE, SEVERAL = "no file", "several files of that name"  # why a row has no film


def match_films(labels, films, found=None):
    """Return labels with three more columns: path, the film of each row among `films`, "" if there
    isn't exactly one; missing, which says why, "" if there is; and may_be, the paths if there are
    several. The films that each row may mean are `found`, by default as in `find_films`."""
    missing = {0: NO_FILE, 1: ""}
    found = find_films(labels, films) if found is None else found
    return labels.assign(
        path=[str(paths[0]) if len(paths) == 1 else "" for paths in found],
        missing=[missing.get(len(paths), SEVERAL) for paths in found],
        may_be=[tuple(map(str, paths)) if len(paths) > 1 else () for paths in found],
    )


def find_films(labels, films):
    """Return what `search_films` does. Prints a note if some rows alone found their films without
    leading zeros, see `note_zeros`. UserError if the column of patients is more likely to name the
    films, see `check_patients`."""
    found = search_films(labels, films)
    note_zeros(labels, found)
    if "patient" in labels and any(labels["patient"]) and not any(labels["filename"]):
        check_patients(labels, films, found)
    return found


def search_films(labels, films):
    """Return for each row a list of the films it may mean, among `films`, as `list_films` returns.

    The film of a row is found by the first of these rules that matches: its path; its file name;
    this name with any image ending; its id, unless the name is that of an image; name or id without
    leading zeros (`loose_name`). Each rule is tried only on rows and films that no earlier rule has
    matched, but rows with the same id may share a film. If several films have the name, all are
    found. If a row names a folder, other folders are searched only if none of the table's folders
    is here, which is noted, and no other path in the table has the same file name.
    """
    names, ids, index = labels["filename"].map(trim_path), list(labels["id"]), FilmIndex(films)
    found = match_paths(names, index)
    ours, times = any(found), Counter(PurePosixPath(name).name for name in set(names))
    keys = {
        row: keys_of(name, ids[row])
        for row, name in enumerate(names)
        if not found[row] and ("/" not in name or not (ours or times[PurePosixPath(name).name] > 1))
    }
    match_keys(found, keys, index)
    share_films(found, keys, ids, index)
    if not ours:
        note_films_elsewhere(names, found)
    return found


def match_keys(found, keys, index):
    """Fill in the films, in `found`, of the rows in `keys`, {row: what `keys_of` returns}, one rule
    after the other."""
    taken = {film for films in found for film in films}
    for keys_of_rule in zip(*keys.values(), strict=True):
        sought = {row: key for row, key in zip(keys, keys_of_rule, strict=True) if not found[row]}
        free = {  # once for each key: many rows may share one, and many films
            key: [film for film in index.by_key.get(key, []) if film not in taken]
            for key in set(sought.values())
        }
        for row, key in sought.items():
            found[row] = free[key]
        taken.update(*free.values())


def share_films(found, keys, ids, index):
    """Fill in the films, in `found`, of the rows in `keys` that have none, while another row with
    their id has films of one of their keys."""
    of_ids = {id_: films for id_, films in zip(ids, found, strict=True) if films}
    for row, own in keys.items():
        if ids[row] in of_ids and not found[row]:
            may_be = {film for key in own for film in index.by_key.get(key, [])}
            found[row] = [film for film in of_ids[ids[row]] if film in may_be]


def note_films_elsewhere(names, found):
    """Print that rows which name folders found films by their names alone, where none of these
    folders is here: they may be films of others."""
    rows = [(name, films[0]) for name, films in zip(names, found, strict=True) if films]
    elsewhere = [f"{name} ({film})" for name, film in rows if "/" in name]
    if elsewhere:
        print_note(
            f"none of the folders that the table names is here, so {counted(len(elsewhere), 'row')} "
            f"found films by their names alone, such as {elsewhere[0]}"
        )


def note_zeros(labels, found):
    """Print how many rows found their film only without leading zeros, if it may be that of another
    set: other rows found shorter numbers by their exact names, so the numbers aren't all padded to
    the same width (as 00012 and 12345 are)."""
    exact, loose = [], {}
    for name, id_, films in zip(labels["filename"], labels["id"], found, strict=True):
        if len(films) == 1:
            stem, told = stem_of(films[0]), [composed(text) for text in (clean_id(name), id_)]
            alike = [text for text in told if loose_name(text) == loose_name(stem)]
            padded = max([stem, *alike], key=len)
            if stem.casefold() in map(str.casefold, told):
                exact.append(leading_digits(stem))
            elif alike and padded.startswith("0"):
                loose[f"{alike[0]} ({films[0].name})"] = leading_digits(padded)
    if loose and any(0 < width < min(loose.values()) for width in exact):
        print_note(
            f"{counted(len(loose), 'row')} found films only without leading zeros, such as "
            f"{next(iter(loose))}, and others by shorter exact names: look whether each is its own"
        )


def leading_digits(name):
    """Return how many digits a name begins with."""
    return len(re.match(r"\d*", name)[0])


def check_patients(labels, films, found):
    """UserError when the patients of a table without names of files name more films than its ids,
    which have `found` some: these may be running numbers, which are names of other films as well.
    Patients with several rows have several films, so they name none."""
    ids = labels["patient"].mask(labels["patient"].duplicated(keep=False), "")
    of_patients = search_films(labels.assign(id=ids), films)
    by_patient, by_id = (len({f for films in each for f in films}) for each in (of_patients, found))
    if by_patient > by_id:
        raise UserError(
            f"patients name {by_patient} of these films, ids {by_id}: the ids may be running numbers "
            f"({films[0].parent}). Rename the column that names the films to filename."
        )


def keys_of(name, id_):
    """Return the keys of a row in `FilmIndex.by_key`, given its name, from `trim_path`, and its id:
    one for each rule of `find_films` after the first."""
    id_ = "" if is_image(name) else id_  # "" is the name of no film
    stem = clean_id(name)
    return (
        ("name", PurePosixPath(name).name),
        ("stem", stem),
        ("stem", composed(id_)),
        ("loose", loose_name(stem)),
        ("loose", loose_name(id_)),
    )


class FilmIndex:
    """Films by their names, alone (`by_key`) or within folders (`in_folders`)."""

    def __init__(self, films):
        self.films, self.by_depth, self.by_key = films, {}, defaultdict(list)
        for film in films:
            stem = stem_of(film)
            names = {"name": composed(film.name), "stem": stem, "loose": loose_name(stem)}
            for key in names.items():
                self.by_key[key].append(film)

    def at_path(self, name):
        """Return the films at the path `name`, if it has a folder, see `in_folders`."""
        folder, slash, file = name.rpartition("/")
        return self.in_folders(file, [folder]) if slash else []

    def in_folders(self, file, folders):
        """Return the films with a file name in folders whose paths end in one of `folders`; if
        there are none, those with this name and any image ending."""

        def there(key):
            groups = (self.of_depth(folder.count("/") + 1).get((folder, key)) for folder in folders)
            return [film for films in groups if films for film in films]

        return there(("name", file)) or there(("stem", clean_id(file)))

    def of_depth(self, depth):
        """Return {(the last `depth` folders, key of the name): films}."""
        if depth not in self.by_depth:
            self.by_depth[depth] = groups = defaultdict(list)
            for film in self.films:
                folder = "/".join(composed(film.parent.as_posix()).split("/")[-depth:])
                groups[folder, ("name", composed(film.name))].append(film)
                groups[folder, ("stem", stem_of(film))].append(film)
        return self.by_depth[depth]


def match_paths(names, index):
    """Return the films at the path of each row. While no row has a film, drop the first folder of
    every path and try again, as the table may come from another machine. A film that matches two
    different paths is given to neither."""
    found, places = [[] for _ in names], list(names)
    while not any(found) and any("/" in place for place in places):
        found = match_places(names, places, index)
        places = [place.partition("/")[2] or place for place in places]
    rows = defaultdict(set)
    for name, paths in zip(names, found, strict=True):
        for path in paths:
            rows[path].add(name)
    return [[] if any(len(rows[path]) > 1 for path in paths) else paths for paths in found]


def match_places(names, places, index):
    """Return the films of each row at its place, which is its path without the dropped folders.

    A place without a folder is searched beside the folders found for other rows, if these dropped
    the same folders: if films/p1/a.png is found as p1/a.png, films/b.png is b.png beside p1.
    """
    rows = [
        (name.removesuffix(place), place, index.at_path(place))
        for name, place in zip(names, places, strict=True)
    ]
    tops = defaultdict(set)
    for dropped, place, films in rows:
        tops[dropped].update(film.parents[place.count("/")].as_posix() for film in films)
    return [
        films or ([] if "/" in place else index.in_folders(place, tops[dropped]))
        for dropped, place, films in rows
    ]


def trim_path(filename):
    return composed(tidy_path(filename.replace("\\", "/")).strip("/"))
