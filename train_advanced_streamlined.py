"""Train any model type on any backbone, with all options of the toolkit.

    python train_advanced_streamlined.py --preset quick  # two cores, 10-15 minutes: 8.7-8.9 months
    python train_advanced_streamlined.py --preset cpu    # two cores, 60-107 minutes: 7.0 months
    python train_advanced_streamlined.py --preset best   # two cores, 100-180 minutes: 6.8 months
    python train_advanced_streamlined.py --preset gpu    # for a GPU, not measured
    python train_advanced_streamlined.py --preset demo --data_dir demo/Data    # synthetic hands
    python train_advanced_streamlined.py --backbone xception --fine_tune --loss_type huber

(Errors are those of 600 films, trained on 10,800 of the RSNA challenge: docs/RESULTS.md.)
"""

from util.errors import run_command
from util.option_rules import TRAINING_RULES, parse_effective
from util.presets import add_preset
from util.training_options import training_parser


def parse_args(argv=None):
    parser = training_parser(__doc__, enhancements=True)
    add_preset(parser, argv)
    return parse_effective(parser, TRAINING_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from util.experiment import run_experiment
    from util.find_lr import find_learning_rates

    if args.find_lr:
        find_learning_rates(args)
    else:
        run_experiment(args)


if __name__ == "__main__":
    run_command(main)
