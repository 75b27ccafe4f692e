"""Train the baseline: bone age from the film alone, without sex.

    python train_baseline.py    # for a GPU
    python train_baseline.py --backbone mobilenet --img_size 128 --epochs_frozen 1 --fine_tune \\
        --epochs_finetune 8 --lr_finetune 1e-3    # 3,000 films, one core, 12 minutes: 11.7 months

(Errors are those of 600 films: docs/RESULTS.md.)
"""

from util.errors import run_command
from util.option_rules import TRAINING_RULES, parse_effective
from util.training_options import training_parser


def parse_args(argv=None):
    return parse_effective(training_parser(__doc__, baseline=True), TRAINING_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from util.experiment import run_experiment

    run_experiment(args)


if __name__ == "__main__":
    run_command(main)
