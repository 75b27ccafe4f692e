"""Options that count only beside others: a typed option without effect is an error, not a no-op."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

from util.backbones import POOLED
from util.phases import has_seen_films
from util.runtimes import RUNTIMES


class Needs(NamedTuple):
    """Options that count only under a condition, which `met` tells of the parsed options."""

    options: tuple
    condition: str
    met: Callable


NEEDS = (
    Needs(("lr", "feature_views"), "--epochs_frozen above 0", lambda args: args.epochs_frozen),
    Needs(
        ("epochs_finetune", "lr_finetune", "bn", "epochs_small", "hold_layers"),
        "--fine_tune",
        lambda args: args.fine_tune,
    ),
    Needs(
        ("feature_views",), "a frozen backbone (no --fine_tune)", lambda args: not args.fine_tune
    ),
    Needs(
        ("feature_views",),
        f"a head on pooled features (--model_type {' or '.join(POOLED)})",
        lambda args: args.model_type in POOLED,
    ),
    Needs(
        ("feature_views",),
        "views that differ (--augment none has but 1)",
        lambda args: args.feature_views <= 1 or args.augment != "none",
    ),
    Needs(
        ("mixup_alpha", "find_lr", "strategy"),
        "films in every step (leave out --feature_views)",
        lambda args: not args.feature_views,
    ),
    Needs(
        ("jit_compile",), "a single device (--strategy none)", lambda args: args.strategy == "none"
    ),
    Needs(("img_size_small",), "--epochs_small above 0", lambda args: args.epochs_small),
    Needs(
        ("hold_layers",),
        "layers that have seen films (--epochs_small above 0, or the folder of a run as --weights)",
        has_seen_films,
    ),
    Needs(
        ("gender_units",),
        "a model that is told the sex (--model_type)",
        lambda args: args.model_type != "baseline",
    ),
    Needs(("huber_delta",), "--loss_type huber", lambda args: args.loss_type == "huber"),
    Needs(
        ("smooth_l1_sigma",),
        "--loss_type smooth_l1",
        lambda args: args.loss_type == "smooth_l1",
    ),
    Needs(("wing_w", "wing_epsilon"), "--loss_type wing", lambda args: args.loss_type == "wing"),
    Needs(
        ("clr_max_lr", "clr_step_size", "clr_mode", "clr_gamma"),
        "--use_cyclical_lr",
        lambda args: args.use_cyclical_lr,
    ),
    Needs(("clr_gamma",), "--clr_mode exp_range", lambda args: args.clr_mode == "exp_range"),
    Needs(
        ("precision",),
        f"--runtime {', '.join(RUNTIMES)}",
        lambda args: args.runtime in RUNTIMES,
    ),
    Needs(
        ("tta_steps",),
        "--use_tta",  # which only a training asks for: a finished run has views of its own
        lambda args: not hasattr(args, "epochs_frozen") or args.use_tta,
    ),
    Needs(
        ("use_tta", "tta_steps"),
        "more than one view",
        lambda args: args.tta_steps != 1 or not getattr(args, "use_tta", False),
    ),
    Needs(
        ("use_tta",),
        "a choice of views (leave out --calibration, which brings its own)",
        lambda args: not getattr(args, "calibration", None),
    ),
    Needs(
        ("male_value",),
        "--csv, whose sexes it reads",
        lambda args: not hasattr(args, "sex") or args.csv,  # predict.py alone has both
    ),
    Needs(("fold",), "--folds, as many or more", lambda args: args.fold <= (args.folds or 0)),
    Needs(("fold",), "--run_name, the folder of all folds", lambda args: args.run_name),
    Needs(
        ("backbones", "model_type", "img_size", "img_height", "img_width", "weights"),
        "a new model (leave out --model)",
        lambda args: getattr(args, "model", None) is None,
    ),
    Needs(
        ("use_clahe_val_test",),
        "splits (leave out --folds: training films have no CLAHE copies)",
        lambda args: getattr(args, "folds", None) is None,
    ),
    Needs(
        (
            *("folds", "patience", "use_tta", "use_cyclical_lr", "use_clahe_val_test", "resume"),
            *("lr_finetune", "epochs_finetune", "epochs_small", "img_size_small", "hold_layers"),
        ),
        "a training (leave out --find_lr)",
        lambda args: not getattr(args, "find_lr", False),
    ),
    Needs(
        ("lr",),
        "--fine_tune, as --find_lr tries rates of its own on the last phase",
        lambda args: not getattr(args, "find_lr", False) or args.fine_tune,
    ),
    Needs(
        ("show",),
        "a single training (leave out --folds)",
        lambda args: getattr(args, "folds", None) is None,
    ),
    Needs(("greedy",), "--ensemble", lambda args: args.ensemble),
    Needs(("name",), "--calibrate", lambda args: args.calibrate),
    Needs(
        ("csv", "ensemble", "calibration", "out", "show"),
        "an evaluation (leave out --calibrate)",
        lambda args: getattr(args, "calibrate", None) is None,
    ),
    Needs(
        ("split", "data_dir", "use_clahe_val_test"),
        "the films of a data folder (leave out --csv and --calibrate)",
        lambda args: (
            getattr(args, "csv", None) is None and getattr(args, "calibrate", None) is None
        ),
    ),
)


def parse_effective(parser, argv=None):
    """Parse the options; one that was typed but would have no effect is an error (exit code 2)."""
    args = parser.parse_args(argv)
    typed = typed_options(parser, argv, vars(args))
    for options, condition, met in NEEDS:
        idle = [name for name in options if name in typed and getattr(args, name) is not False]
        if idle and not met(args):
            parser.error(f"--{idle[0]} has no effect without {condition}")
    return args


def typed_options(parser, argv, names):
    """Those of the `names` of a parser's options that stand in a command line."""
    absent = object()
    found = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(names, absent)))
    return {name for name in names if getattr(found, name) is not absent}
