"""Train any model type on any backbone: bone age from the film and the sex.

    python train_advanced.py --backbone xception --epochs_frozen 20 --fine_tune    # for a GPU
    python train_advanced.py --backbone mobilenet --img_size 128 --epochs_frozen 1 --fine_tune \\
        --epochs_finetune 8 --lr_finetune 1e-3    # 3,000 films, one core, 13 minutes: 8.8 months

(Errors are those of 600 films: docs/RESULTS.md.)
"""

from util.errors import run_command
from util.option_rules import TRAINING_RULES, parse_effective
from util.training_options import training_parser


def parse_args(argv=None):
    return parse_effective(training_parser(__doc__), TRAINING_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from util.experiment import run_experiment

    run_experiment(args)


if __name__ == "__main__":
    run_command(main)
