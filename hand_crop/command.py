"""What the trainings of `hand_crop` share: options, and their checks."""

from pathlib import Path

from util.errors import UserError
from util.files import check_new_file
from util.options import add_seed, count


def add_training(parser):
    """The options that the trainings of both small networks have."""
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of upright films")
    parser.add_argument("--steps", type=count(20), default=3000, help="training steps a network")
    parser.add_argument("--out", metavar="FILE", help="write the network's weights (.npz) here")
    add_seed(parser)


def check_weights_file(path):
    """UserError, before any training, when the weights can't be written to --out, if given."""
    if not path:
        return
    if Path(path).suffix != ".npz":
        raise UserError(f"weights are a .npz file ({path}). Choose another --out.")
    check_new_file(path)
