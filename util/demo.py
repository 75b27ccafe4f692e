"""Print the end of `make demo`: what was measured, what to look at, and what to do next.

python -m util.demo demo/results/demo
"""

import sys

from util.errors import run_command
from util.finished_runs import read_run
from util.metrics_text import format_interval

NEXT = """\
Your own films (a folder or zip of images and a table with id, boneage in months, sex):

  .venv/bin/python import_data.py --source films/ --csv labels.csv
  .venv/bin/python train_advanced_streamlined.py --preset cpu"""


def main():
    run = read_run(sys.argv[1])
    metrics = run.metrics["test"]
    baseline = metrics["baseline"]
    print(f"{metrics['n']} phantoms the model never saw, mean absolute error in months:\n")
    print(f"  this model       {metrics['mae']:6.2f}   {format_interval(metrics['mae_ci95'])}")
    print(f"  median baseline  {baseline['mae']:6.2f}   {format_interval(baseline['mae_ci95'])}")
    print("\nPhantoms are drawn: the figure shows that all parts work, but nothing about patients.")
    print("\nPictures to open:\n")
    for path in sorted((run.folder / "plots").glob("*.png")):
        print(f"  {path}")
    print(f"\n{NEXT}")


if __name__ == "__main__":
    run_command(main)
