"""Learn what hands look like to the localiser, on films with fingers up and light bones, so that
other pictures are noticed, and say how many are.

    python -m hand_crop.train_likeness --images Data/train

On half of the films a space of few dimensions is fitted to what the localiser sees of them and of
their mirror images. The others set the limit: 5 of 1000 lie beyond it. Both are written to --out.
Do this again when the localiser was trained again.
"""

import numpy as np

from hand_crop.command import add_files, check_enough, check_weights_file
from hand_crop.likeness import distances
from hand_crop.localiser import localiser_features, localiser_version
from hand_crop.network import shrink
from util.errors import run_command
from util.files import write_atomically
from util.film_files import films_or_error
from util.parser import new_parser
from util.pixel_cache import read_pixels

FILM_SIDE = 160  # pixels of a film before it is shrunk for the localiser
DIMENSIONS = 128
SHARE_BEYOND_LIMIT = 0.005  # of films of hands
LEAST = 300  # films


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_files(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    check_weights_file(args.out)
    films = read_upright(args.images)
    films = films[np.random.default_rng(args.seed).permutation(len(films))]
    unseen, seen = np.split(films, [len(films) // 2])
    space = fit_space(seen, unseen)
    print_likeness(unseen, space)
    if args.out:
        space["localiser"] = localiser_version()  # whose features it is of
        write_atomically(args.out, lambda file: np.savez_compressed(file, **space))
        print(f"weights: {args.out}")


def read_upright(folder):
    """Read the films of a folder, except those that look turned or inverted: uint8 `(n, 160, 160)`.
    UserError when there are too few."""
    pixels, failures = read_pixels(films_or_error(folder), FILM_SIDE, "stretch")
    odd = (pixels.oddities.turned > 0) | pixels.oddities.inverted
    good = [i for i in np.flatnonzero(~odd) if i not in failures]
    check_enough(len(good), LEAST, folder)
    return pixels[good]


def fit_space(seen, unseen):
    """Fit the space to the localiser's features of `seen` films, and its `limit` to those of
    `unseen` films. Returns it as `unlike_by_features` takes it; mean and components are in half
    precision."""
    from sklearn.decomposition import PCA

    space = PCA(DIMENSIONS, random_state=0).fit(features_of(seen))
    space = {"mean": space.mean_, "components": space.components_}
    space = {name: values.astype(np.float16) for name, values in space.items()}
    limit = np.quantile(distances(features_of(unseen), space), 1 - SHARE_BEYOND_LIMIT)
    return space | {"limit": np.float32(limit)}


def features_of(films):
    """Return the localiser's features `(2 n, 1024)` of films, uint8 `(n, 160, 160)`, followed by
    those of their mirror images."""
    return localiser_features([shrink(film) for film in films])


def print_likeness(films, space):
    """Print which share of films lies beyond the limit, as they are and changed."""
    ways = {
        "as they are (these set the limit)": films,
        "on their side": np.rot90(films, axes=(1, 2)),
        "upside down": films[:, ::-1, ::-1],
        "inverted": ~films,
        "a quarter of each film": films[:, : FILM_SIDE // 2, : FILM_SIDE // 2],
    }
    print(f"of {len(films)} films not used to fit the space, these look unlike hands:")
    for name, changed in ways.items():
        beyond = distances(features_of(np.ascontiguousarray(changed)), space) > space["limit"]
        print(f"  {name:34s} {beyond.mean():6.1%}")


if __name__ == "__main__":
    run_command(main)
