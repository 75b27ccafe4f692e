"""Compare the backbones and routes of a benchmark: a table, a CSV of it, and a picture.

    python -m inference_speed.analyze_inference_results
    python -m inference_speed.analyze_inference_results --csv_file old/inference_speed_1.csv

Takes the newest CSV of --results_dir, and writes speed_comparison_TIME.csv and
inference_analysis_plots_TIME.png beside it. Times are medians: one disturbed run does not move
them.
"""

from pathlib import Path

from util.errors import UserError, run_command
from util.files import write_csv
from util.parser import new_parser

BENCHMARK = "inference_speed_"  # begins the name of a benchmark's CSV; then comes its time
HOW_TO_START = (
    "Run python -m inference_speed.compute_inference_speed first, or name a file with --csv_file."
)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--csv_file", help="CSV of a benchmark (default: the newest)")
    source.add_argument(
        "--results_dir", default="inference_results", help="folder to look for the newest CSV in"
    )
    plots = parser.add_mutually_exclusive_group()
    plots.add_argument("--save_plots", action="store_true", help="draw the picture: the default")
    plots.add_argument("--no_plots", action="store_true", help="leave the picture out")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    path = Path(args.csv_file) if args.csv_file else newest_csv(args.results_dir)

    from inference_speed.comparison import (
        compare_backbones,
        describe_failures,
        format_backbones,
        read_benchmark,
    )

    timed, failed = read_benchmark(path)
    comparison = compare_backbones(timed)
    name = path.stem.removeprefix(BENCHMARK)
    table_path = path.with_name(f"speed_comparison_{name}.csv")
    plots_path = path.with_name(f"inference_analysis_plots_{name}.png")
    write_csv(table_path, comparison.round(4))
    if not args.no_plots:
        from inference_speed.speed_plots import plot_speed

        plot_speed(timed, comparison, plots_path, path.name)
    print(f"{path}\n{format_backbones(timed, comparison)}")
    if len(failed):
        print("\nfailed:", *describe_failures(failed), sep="\n  ")
    print(f"\ncomparison: {table_path}")
    if not args.no_plots:
        print(f"plots:      {plots_path}")


def newest_csv(results_dir):
    """Return the newest benchmark CSV of a folder that has rows; UserError when there is none."""
    folder = Path(results_dir)
    if not folder.is_dir():
        raise UserError(f"no such folder ({folder}). {HOW_TO_START}")
    found = [path for path in folder.glob(f"{BENCHMARK}*.csv") if path.stat().st_size]
    if not found:
        raise UserError(
            f"no inference_speed_*.csv with results in the folder ({folder}). {HOW_TO_START}"
        )
    return max(found, key=lambda path: (path.stat().st_mtime, path.name))


if __name__ == "__main__":
    run_command(main)
