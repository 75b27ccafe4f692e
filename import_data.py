"""Bring labelled films of any source into the data folder that the training scripts read.

    python import_data.py --source boneage-training-dataset.zip
    python import_data.py --source films/ --csv labels.csv --split 0.8 0.1 0.1
    python import_data.py --source "Bone Age Training Set.zip" "Bone Age Validation Set.zip"

A source is a folder or a zip; its table is found inside it or beside it. Splits that the names of
several sources tell (training, validation, test) are kept; otherwise films are split by chance,
stratified by sex and age. Nothing is overwritten, and files are linked where possible.
"""

import math
from pathlib import Path

from util.errors import run_command
from util.options import add_male_value, count, new_parser, number


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--source", nargs="+", required=True, metavar="DIR_OR_ZIP", help="films and their table"
    )
    parser.add_argument("--csv", metavar="FILE", help="the table, where it can't be found")
    parser.add_argument(
        "--split",
        nargs=3,
        type=number(0, 1),
        default=[0.8, 0.1, 0.1],
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the films",
    )
    parser.add_argument(
        "--test_ids", metavar="FILE", help="CSV with ids of films that must be in the test split"
    )
    parser.add_argument("--max_side", type=count(16), help="shrink films to this side, in pixels")
    parser.add_argument("--data_dir", default="Data", help="where to build the data folder")
    parser.add_argument("--seed", type=count(0), default=42, help="seed of the random split")
    add_male_value(parser)
    args = parser.parse_args(argv)
    if not math.isclose(sum(args.split), 1):
        parser.error(f"--split {args.split}: the shares must sum to 1")
    return args


def main(argv=None):
    args = parse_args(argv)
    from util import importing
    from util.files import write_csv
    from util.tables import read_labels

    test_ids = read_labels(args.test_ids, need=())["id"] if args.test_ids else ()
    with importing.new_data_folder(args.data_dir) as work:
        sources = [importing.open_source(name, work) for name in args.source]
        films, left_out = importing.read_sources(sources, args.csv, args.male_value)
        films["split"] = importing.assign_splits(films, args.split, args.seed, test_ids)
        films, failed = importing.place_films(films, str(work), args.max_side, work / "ready")
        left_out = importing.pd.concat([left_out, failed])
        write_csv(work / "ready" / "import_left_out.csv", left_out)
    report(films, left_out, args.data_dir)


def report(films, left_out, data_dir):
    """Print what came in, by split, sex and age, and what was left out and why."""
    from preprocessing import SPLITS

    print(f"{'split':12s}{'films':>7s}{'boys':>7s}{'girls':>7s}{'0-4 y':>7s}{'5-9 y':>7s}", end="")
    print(f"{'10-14 y':>9s}{'15+ y':>7s}   mean age (months)")
    for split in SPLITS:
        part = films[films["split"] == split]
        ages = [part["boneage"].between(lo, hi, inclusive="left").sum() for lo, hi in BANDS]
        print(
            f"{split:12s}{len(part):7d}{part['sex'].sum():7d}{(part['sex'] == 0).sum():7d}", end=""
        )
        print(f"{ages[0]:7d}{ages[1]:7d}{ages[2]:9d}{ages[3]:7d}   {part['boneage'].mean():.1f}")
    for reason, n in left_out["reason"].value_counts().items():
        print(f"left out: {n} {reason}")
    if len(left_out):
        print(f"          named in {Path(data_dir) / 'import_left_out.csv'}")
    print(f"\nnext: python train_advanced.py --data_dir {data_dir} --fine_tune")


BANDS = ((0, 60), (60, 120), (120, 180), (180, 999))  # months


if __name__ == "__main__":
    run_command(main)
