"""What the trainings of `hand_crop` share: options, their checks, and the file of weights."""

from pathlib import Path

import numpy as np

from util.errors import UserError
from util.files import check_new_file, write_atomically
from util.options import add_seed
from util.parser import whole_number


def add_files(parser):
    """Add the options that all trainings have."""
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of upright films")
    parser.add_argument("--out", metavar="FILE", help="write what was learned (.npz) here")
    add_seed(parser)


def add_steps(parser):
    """Add the option that sets how long a small network is trained."""
    parser.add_argument(
        "--steps", type=whole_number(20), default=3000, help="training steps a network"
    )


def check_weights_file(path):
    """UserError, before any training, when the weights can't be written to --out, if given."""
    if not path:
        return
    if Path(path).suffix != ".npz":
        raise UserError(f"weights are a .npz file ({path}). Choose another --out.")
    check_new_file(path)


def check_enough(n, least, folder):
    """UserError when fewer than `least` films of a folder can be used."""
    if n < least:
        raise UserError(
            f"{n} readable films, {least} or more are needed ({folder}). Add films, or name another "
            "folder."
        )


def save_layers(layers, path):
    """Write the layers of `hand_crop.network.forward` in half precision."""
    arrays = [array.astype(np.float16) for layer in layers for array in layer]
    named = {f"{i:02d}": array for i, array in enumerate(arrays)}
    write_atomically(path, lambda file: np.savez_compressed(file, **named))
