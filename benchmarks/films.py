"""The films that benchmarks run on: those of a folder, or phantoms drawn for it."""

from util.options import count
from util.phantoms import write_phantoms
from util.tables import list_images

HEIGHT = 500  # pixels of the phantoms


def add_film_options(parser, img_size=None):
    parser.add_argument("--images", metavar="DIR", help="folder of films (default: phantoms)")
    parser.add_argument("--films", type=count(32), default=300, help="how many phantoms")
    if img_size:
        parser.add_argument("--img_size", type=count(32), default=img_size, help="side of a canvas")
    parser.add_argument("--turns", type=count(1), default=5, help="timed turns, after one more")


def list_films(args, folder):
    """Paths of the films of the options; phantoms are drawn into `folder`."""
    if not args.images:
        write_phantoms(folder, {"train": args.films, "val": 0, "test": 0}, HEIGHT)
    return [str(film) for film in list_images(args.images or folder / "train")]
