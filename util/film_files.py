"""Films on disk: which files are films, and which film belongs to which row of a table."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from util.data_folder import COPIES, REPORT
from util.dicom import is_dicom_file
from util.errors import UserError, counted, first_line, print_note
from util.identity import loose_name
from util.image_kinds import IMAGE_ENDINGS, without_endings
from util.labels import clean_id, tidy_path

OF_SYSTEMS = {"lost+found", "$recycle.bin", "system volume information"}  # a disk's own folders
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
    names = labels["filename"].map(trim_path)
    index = FilmIndex(films)
    found = match_paths(names, index)
    ours, times = any(found), Counter(PurePosixPath(name).name for name in set(names))
    settled = ["/" in name and (ours or times[PurePosixPath(name).name] > 1) for name in names]
    keys = [keys_of(name, id_) for name, id_ in zip(names, labels["id"], strict=True)]
    taken = {film for films in found for film in films}
    for keys_of_rule in zip(*keys, strict=True):
        sought = {
            row: key for row, key in enumerate(keys_of_rule) if not (found[row] or settled[row])
        }
        free = {  # once for each key: many rows may share one, and many films
            key: [film for film in index.by_key.get(key, []) if film not in taken]
            for key in set(sought.values())
        }
        for row, key in sought.items():
            found[row] = free[key]
        taken.update(*free.values())
    of_ids = {id_: films for id_, films in zip(labels["id"], found, strict=True) if films}
    for row, id_ in enumerate(labels["id"]):
        if id_ in of_ids and not (found[row] or settled[row]):  # a row with the same id has films
            may_be = {film for key in keys[row] for film in index.by_key.get(key, [])}
            found[row] = [film for film in of_ids[id_] if film in may_be]
    if not ours:
        note_films_elsewhere(names, found)
    return found


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


def composed(name):
    """Return a name in Unicode's composed form (NFC). macOS may write an accent as a separate
    character."""
    return unicodedata.normalize("NFC", name)


def list_films(folder):
    """Return all films in a folder and below, see `list_files`."""
    return [path for path in list_files(folder) if is_film(path)]


def list_files(folder):
    """Return all files in a folder and below, sorted by name, except those in folders that are
    passed over (`is_passed_over`). Links to other folders are followed, and no folder is listed
    twice. Raises UserError for a folder that can't be read: nobody would notice the missing films.
    """
    folder = Path(folder).resolve()
    found, seen = [], set()
    for where, folders, files in os.walk(folder, onerror=refuse_unreadable, followlinks=True):
        place = Path(where).resolve()
        if place in seen or (Path(where).is_symlink() and leads_back(place, folder)):
            folders[:] = []
            continue
        seen.add(place)
        folders[:] = sorted(f for f in folders if not is_passed_over(f))
        found += [Path(where) / f for f in sorted(files)]
    return found


def refuse_unreadable(error):
    """Raise UserError for a folder that exists but can't be listed."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise UserError(
            f"can't read a folder: {first_line(error)} ({error.filename}). Correct its rights, or "
            "move it elsewhere."
        )


def is_passed_over(name):
    """Whether to skip a folder by its name: it is hidden, it was made by the toolkit (`*_CLAHE`
    copies, which are beside their originals, or a quality report), or systems keep it on a disk."""
    made = name.endswith(COPIES) or re.fullmatch(rf"{REPORT}(_\d+)?", name)
    return is_hidden(name) or bool(made) or name.lower() in OF_SYSTEMS


def leads_back(place, folder):
    """Whether the target of a link is in a folder, where it is listed anyway, or above it."""
    return place.is_relative_to(folder) or folder.is_relative_to(place)


def films_or_error(folder):
    """Return `list_films` as paths that begin with the folder as it was named. Raises UserError if
    there are none."""
    films = list_films(folder)
    if not films:
        raise UserError(f"no image in the folder ({folder}). Name the folder of the films.")
    return [Path(folder) / film.relative_to(Path(folder).resolve()) for film in films]


def is_image(name):
    """Whether a file name is that of an image, and not hidden."""
    return name.lower().endswith(IMAGE_ENDINGS) and not is_hidden(name)


def is_film(path):
    """Whether a file is an image by its name, or DICOM with any name, as hospital archives export
    it (IM000001, a UID). DICOMDIR, the table of contents of a disc, is no film."""
    if is_image(path.name):
        return True
    return not is_hidden(path.name) and path.name.upper() != "DICOMDIR" and is_dicom_file(path)


def stem_of(film):
    """Return the `composed` name of a film without its image endings, see `without_endings`."""
    name = composed(film.name)
    return without_endings(name) if is_image(name) else name


def is_hidden(name):
    """Whether a file or folder is hidden, or litter of macOS in zips or of Excel."""
    return name.startswith((".", "__MACOSX", "~$"))
