"""Train the baseline: bone age from the film alone, without sex.

python train_baseline.py
python train_baseline.py --backbone mobilenet --img_size 224 --fine_tune
"""

from util.errors import run_command
from util.option_rules import TRAINING_RULES, parse_effective
from util.options import training_parser


def parse_args(argv=None):
    return parse_effective(training_parser(__doc__, baseline=True), TRAINING_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from util.experiment import run_experiment

    run_experiment(args)


if __name__ == "__main__":
    run_command(main)
