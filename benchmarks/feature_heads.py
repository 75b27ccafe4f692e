"""What it takes to train heads on a frozen backbone: films through the backbone in every epoch,
beside `--feature_views`, which computes the features of a few views once. Whole runs of
train_advanced.py on phantoms, evaluation included.

    python -m benchmarks.feature_heads
    python -m benchmarks.feature_heads --backbone mobilenet_v2 --epochs_frozen 20 --views 3
"""

import shutil
import tempfile
from itertools import count
from pathlib import Path

from benchmarks.films import add_backbone, add_turns
from inference_speed.turns import format_turns, take_turns
from util.data_folder import cache_path
from util.errors import run_command
from util.parser import new_parser, whole_number
from util.phantoms import write_phantoms

SHARES = {"val": 0.1, "test": 0.1}  # of the number of training films


def main(argv=None):
    parser = new_parser(__doc__)
    add_backbone(parser)
    parser.add_argument("--img_size", type=whole_number(32), default=128, help="side of a canvas")
    parser.add_argument(
        "--films", type=whole_number(32), default=400, help="how many training phantoms"
    )
    parser.add_argument("--epochs_frozen", type=whole_number(1), default=20, help="epochs of a run")
    parser.add_argument(
        "--views", type=whole_number(1, 3), default=3, help="views in a run on features"
    )
    add_turns(parser)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "Data"
        some = {split: round(share * args.films) for split, share in SHARES.items()}
        write_phantoms(data, {"train": args.films} | some, height=args.img_size)
        ways = [whole_run(data, views, args) for views in (0, args.views)]
        seconds = take_turns(ways, args.turns)
    names = ["films in every epoch", f"features of {args.views} views"]
    print(format_turns(names, seconds, args.films * args.epochs_frozen))


def whole_run(data, views, args):
    """Return a function that trains and evaluates a new run, with no features kept from another
    run."""
    from train_advanced import main as train

    names = count()

    def run():
        shutil.rmtree(cache_path(data) / "features", ignore_errors=True)
        options = {
            "data_dir": data,
            "results_dir": data.parent / f"results_{views}",
            "run_name": next(names),
            "backbone": args.backbone,
            "weights": "none",
            "img_size": args.img_size,
            "epochs_frozen": args.epochs_frozen,
            "feature_views": views,
            "patience": 0,  # every epoch counts
            "verbose": 0,
        }
        train([f"--{name}={value}" for name, value in options.items()])

    return run


if __name__ == "__main__":
    run_command(main)
