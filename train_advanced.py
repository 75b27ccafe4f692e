"""Train any model type on any backbone: bone age from the film and the sex.

python train_advanced.py --backbone xception --epochs_frozen 20 --fine_tune
"""

from util.errors import run_command
from util.option_rules import TRAINING_RULES, parse_effective
from util.options import (
    add_data_options,
    add_model_options,
    add_run_options,
    add_training_options,
    leave_out_enhancements,
    new_parser,
)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_data_options(parser)
    add_model_options(parser)
    add_training_options(parser)
    add_run_options(parser)
    leave_out_enhancements(parser)
    return parse_effective(parser, TRAINING_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from util.experiment import run_experiment

    run_experiment(args)


if __name__ == "__main__":
    run_command(main)
