"""Make synthetic hand radiographs in the layout of the data folder, to try everything without
real films.

    python make_phantoms.py --data_dir demo/Data
    python make_phantoms.py --data_dir demo/Data --train 3000 --height 192
"""

from util.errors import UserError, run_command
from util.files import quote
from util.options import add_seed
from util.parser import new_parser, whole_number


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--data_dir", default="Data", help="where to build the data folder")
    parser.add_argument("--train", type=whole_number(0, 99_999), default=600, help="training films")
    parser.add_argument("--val", type=whole_number(0, 99_999), default=100, help="validation films")
    parser.add_argument("--test", type=whole_number(0, 99_999), default=100, help="test films")
    parser.add_argument("--height", type=whole_number(64), default=256, help="film height, pixels")
    add_seed(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    from util.phantoms import write_phantoms
    from util.split_table import next_step, print_splits

    counts = {"train": args.train, "val": args.val, "test": args.test}
    if not any(counts.values()):
        raise UserError("no film asked for (--train 0 --val 0 --test 0). Raise one of them.")
    table = write_phantoms(args.data_dir, counts, args.height, args.seed)
    print_splits(table)
    demo = f"python train_advanced_streamlined.py --preset demo --data_dir {quote(args.data_dir)}"
    print(f"\n{next_step(table['split'], demo)}")


if __name__ == "__main__":
    run_command(main)
