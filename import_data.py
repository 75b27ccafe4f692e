"""Bring labelled films of any source into the data folder that the training scripts read.

    python import_data.py --source boneage-training-dataset.zip
    python import_data.py --source films/ --csv labels.csv --split 0.8 0.1 0.1
    python import_data.py --source "Bone Age Training Set.zip" \\
        "Bone Age Training Set Annotations.zip" "Bone Age Validation Set.zip"

A source is a folder or a zip; its table is found inside it, beside it, or in a source that holds
tables alone. Where the names of several sources, or of the folders in them, say training,
validation or test, these splits are kept, and one that is missing is drawn from training; otherwise
films are split by chance, stratified by sex and age, all films of a patient together. With
`--split_of RUN` they are split as for a run, also the model that ships. Nothing is overwritten, and
files are linked where possible.
"""

import math
from pathlib import Path

from util.errors import UserError, run_command
from util.files import quote, write_csv, write_json
from util.options import add_male_value, add_seed
from util.parser import new_parser, real_number, whole_number
from util.runs import read_run

SHARES = (0.8, 0.1, 0.1)  # of films for training, validation and test


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--source", nargs="+", required=True, metavar="DIR_OR_ZIP", help="films and their table"
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="the table, if it is not in a source or beside it"
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
        "--test_ids", metavar="FILE", help="CSV with ids of films that must be in the test split"
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
    args = parser.parse_args(argv)
    if args.split and not math.isclose(sum(args.split), 1):
        parser.error(f"--split {' '.join(map(str, args.split))}: the shares must sum to 1")
    if args.split_of and (args.split or args.test_ids):
        parser.error("--split_of sets the splits: leave out --split and --test_ids")
    return args


def main(argv=None):
    args = parse_args(argv)
    import pandas as pd

    from util import importing, sources
    from util.archives import open_source
    from util.data_folder import IMPORT, LEFT_OUT, SPLITS, new_data_folder
    from util.film_files import count_reasons, report_left_out
    from util.labels import years_note
    from util.split_table import next_step, print_splits

    run = args.split_of and read_run(args.split_of)
    test_ids = importing.read_ids(args.test_ids)
    with new_data_folder(args.data_dir) as (work, ready):
        opened = [open_source(name, work) for name in args.source]
        with sources.named_as_given(opened):
            films, left_out = sources.read_sources(opened, args.csv, args.male_value)
            if run:
                films, others = importing.split_as_run(films, run)
                sources.check_given_splits(films)
                left_out = pd.concat([left_out, others])
        shares = args.split or SHARES
        films["split"] = importing.assign_splits(films, shares, args.seed, test_ids)
        films, failed = importing.place_films(films, args.max_side, ready)
        left_out = pd.concat([left_out, failed])
        if films.empty:
            raise UserError(
                f"nothing to import: {count_reasons(left_out)} "
                f"(--source {' '.join(args.source)}). Correct the table."
            )
        write_csv(ready / LEFT_OUT, left_out)
        write_json(ready / IMPORT, importing.describe_import(args))
    print_splits(films)
    if args.split and set(films["given_split"]) >= set(SPLITS):
        print("note: the sources come with all three splits: --split has no effect")
    for note in years_note(films, "all films"):
        print(f"note: {note}")
    report_left_out(left_out, f"named in {Path(args.data_dir) / LEFT_OUT}")
    if unknown := importing.ids_not_in_test(films, test_ids):
        print(f"{len(unknown)} ids of --test_ids match no film, or several, such as {unknown[0]}")
    check = f"python check_nan_in_dfs.py --data_dir {quote(args.data_dir)}"
    print(f"\n{next_step(films['split'], check)}")


if __name__ == "__main__":
    run_command(main)
