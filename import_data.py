"""Bring labelled films of any source into the data folder that the training scripts read.

    python import_data.py --source boneage-training-dataset.zip
    python import_data.py --source films/ --csv labels.csv --split 0.8 0.1 0.1
    python import_data.py --source "Bone Age Training Set.zip" \\
        "Bone Age Training Set Annotations.zip" "Bone Age Validation Set.zip"

A source is a folder or a zip; its table is found inside it, beside it, or in a source that is a
table or holds tables alone. Where the names of several sources, of their tables, or of the folders
in them say training, validation or test, these splits are kept, and one that is missing is drawn
from the remaining films; otherwise films are split at random, stratified by sex and age, all films
of a patient together. With `--split_of RUN` they are split as for a run, also the model that ships.
Nothing is overwritten, and files are linked where possible. More: Data/README.md.
"""

import math

from util.data_folder import SHARES
from util.errors import run_command
from util.options import add_male_value, add_match_by, add_readers, add_seed
from util.parser import new_parser, real_number, whole_number


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--source", nargs="+", required=True, metavar="DIR_OR_ZIP", help="films and their table"
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="the table (CSV or .xlsx), if it is not in a source or beside it",
    )
    parser.add_argument(
        "--split",
        nargs=3,
        type=real_number(0, 1),
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the films (of patients, if the table has them; default: "
        f"{' '.join(map(str, SHARES))})",
    )
    parser.add_argument(
        "--test_ids",
        metavar="FILE",
        help="table with ids, names or patients of films that must be in the test split",
    )
    parser.add_argument(
        "--split_of",
        metavar="RUN",
        help="split films as in a run (by id, sex and label); others are left out",
    )
    parser.add_argument(
        "--max_side",
        type=whole_number(16),
        help="shrink films whose longer side exceeds this, in pixels",
    )
    parser.add_argument("--data_dir", default="Data", help="where to build the data folder")
    add_seed(parser)
    add_male_value(parser)
    add_readers(parser)
    add_match_by(parser)
    args = parser.parse_args(argv)
    if args.split and not math.isclose(sum(args.split), 1):
        parser.error(f"--split {' '.join(map(str, args.split))}: the shares must sum to 1")
    if args.split_of and (args.split or args.test_ids):
        parser.error("--split_of sets the splits: leave out --split and --test_ids")
    return args


def main(argv=None):
    args = parse_args(argv)
    from util.importing.import_films import import_films, report_import

    report_import(*import_films(args), args)


if __name__ == "__main__":
    run_command(main)
