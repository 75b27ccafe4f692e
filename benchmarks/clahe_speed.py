"""How fast CLAHE copies of a folder are made, beside a loop that reads, applies and writes film
after film, as earlier versions did; also whether both give the same pixels, and what files weigh.

    python -m benchmarks.clahe_speed
    python -m benchmarks.clahe_speed --images films/
"""

import tempfile
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from benchmarks.films import add_film_options, add_turns, films_to_time
from clahe.enhance import CLIP_LIMIT, TILE_GRID, enhance_folder
from inference_speed.turns import format_turns, take_turns
from util.errors import UserError, run_command
from util.parser import new_parser


def main(argv=None):
    parser = new_parser(__doc__)
    add_film_options(parser)
    add_turns(parser)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source, paths = films_to_time(args, folder / "films")
        check_copies(paths)
        ways = enhancements(source, paths, folder)
        seconds = take_turns(ways, args.turns)
        print(format_turns(["loop", "this toolkit"], seconds, len(paths)))
        names = [path.relative_to(source).with_suffix(".png") for path in paths]
        compare_files(names, folder / "loop_0", folder / "ours_0")


def check_copies(paths):
    """UserError when the loop can't read a film, or two copies would have one name."""
    copies = set()
    for path in paths:
        if cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) is None:
            raise UserError(f"the loop can't read a film ({path}). Leave it out.")
        if path.with_suffix("") in copies:
            raise UserError(
                f"another film has this name and another ending ({path}). Leave it out."
            )
        copies.add(path.with_suffix(""))


def enhancements(source, paths, folder):
    """Return two functions that enhance the films at `paths` below `source`; each call writes into
    a new folder."""
    looped = (folder / f"loop_{number}" for number in count())
    enhanced = (folder / f"ours_{number}" for number in count())
    return [
        lambda: loop(paths, source, next(looped)),
        lambda: enhance_folder(source, next(enhanced)),
    ]


def loop(paths, source, target):
    clahe = cv2.createCLAHE(CLIP_LIMIT, (TILE_GRID, TILE_GRID))
    for path in paths:
        film = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        copy = (target / path.relative_to(source)).with_suffix(".png")
        copy.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(copy), clahe.apply(film))


def compare_files(names, one, other):
    same = all(
        np.array_equal(*(cv2.imread(str(folder / name), -1) for folder in (one, other)))
        for name in names
    )
    sizes = [sum((folder / name).stat().st_size for name in names) for folder in (one, other)]
    print(f"pixels {'equal' if same else 'DIFFER'}, files {sizes[1] / sizes[0]:.3f} of the size")


if __name__ == "__main__":
    run_command(main)
