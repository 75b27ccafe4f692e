"""Check the quality of a data folder before training: its tables, its films, and pictures that
occur twice.

    python check_nan_in_dfs.py
    python check_nan_in_dfs.py --data_dir hospital/Data --out hospital_quality

Finds missing, infinite and impossible values, duplicate ids, films that are missing, cut off,
empty, nearly without contrast, inverted, turned or unlike a hand, and the same picture twice, even
if it was saved again. Writes a page (report.html), the flagged rows (flagged.csv), groups of films
with the same picture (same_pictures.csv), all findings (findings.json) and plots/. Tables and films
are not changed. The exit code is 1 when something is flagged.
"""

from pathlib import Path

from util.data_folder import REPORT
from util.errors import run_command
from util.files import choose_folder, new_folder, quote
from util.options import add_male_value, add_seed, add_show, add_workers
from util.parser import new_parser


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--data_dir", default="Data", help="folder of tables and films")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="new folder to write into (default: quality_report in the data folder)",
    )
    add_workers(parser)
    add_male_value(parser)
    add_seed(parser)
    add_show(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    from util.quality.checks import check_data
    from util.quality.report import format_summary, write_report
    from util.quality.table_checks import read_tables

    tables = read_tables(args.data_dir, args.male_value)
    out = choose_folder(args.out, Path(args.data_dir) / REPORT)
    audit = check_data(tables, args.workers)
    out = new_folder(out)
    summary, pictures = write_report(audit, out, args.seed)
    print(format_summary(summary))
    print(f"\nreport: {out / 'report.html'}")
    if summary["serious"]:
        print("next: open it, correct the serious ones (all are in flagged.csv), check again")
    else:
        look = f"look at them ({out / 'flagged.csv'}), then " if summary["flagged"] else ""
        train = f"train_advanced_streamlined.py --preset cpu --data_dir {quote(args.data_dir)}"
        print(f"next: {look}python {train}")
    if args.show:
        from util.plots import show_plots

        show_plots(list(pictures.values()))
    return 1 if summary["flagged"] else 0


if __name__ == "__main__":
    run_command(main)
