"""Options that act only with others: a typed option without effect is an error, not a no-op."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

from util.augmentation import BY_OPTION
from util.backbones import POOLED, sees_sex
from util.predicting.runtimes import RUNTIMES
from util.training_options import LOSS_PARAMETERS, training_defaults


class Rule(NamedTuple):
    """`options` that have no effect in a case.

    `case` names the case in the error; `holds(args)` says whether it applies. It is checked only
    when one of the options was typed with a value that is not in `OFF`.
    """

    options: tuple
    case: str
    holds: Callable


SINGLE_VIEW = Rule(
    ("use_tta",),
    "with --tta_steps 1, a single view: give 2 or more",
    lambda args: args.tta_steps == 1,
)
# values that change nothing: typing one is never an error
OFF = (None, False, 0, "none", "auto", "best")
TRAINING_RULES = (
    Rule(
        ("lr", "feature_views"),
        "without --epochs_frozen above 0",
        lambda args: args.epochs_frozen == 0,
    ),
    Rule(
        ("epochs_finetune", "lr_finetune", "bn"),
        "without --fine_tune",
        lambda args: not args.fine_tune,
    ),
    Rule(
        ("feature_views",),
        "with --fine_tune: features are those of a frozen backbone",
        lambda args: args.fine_tune,
    ),
    Rule(
        ("feature_views",),
        f"without pooled features (--model_type {' or '.join(POOLED)})",
        lambda args: args.model_type not in POOLED,
    ),
    Rule(
        ("feature_views",),
        "above 1 with --augment none: all views are the same",
        lambda args: args.feature_views > 1 and args.augment == "none",
    ),
    Rule(
        (*(name for name in BY_OPTION if name != "label_noise_std"), "find_lr", "strategy"),
        "with --feature_views",
        lambda args: args.feature_views,
    ),
    Rule(("jit_compile",), "with --strategy mirrored", lambda args: args.strategy == "mirrored"),
    Rule(
        ("gender_units",),
        "with --model_type baseline, which ignores the sex",
        lambda args: not sees_sex(args.model_type),
    ),
    *(
        Rule(names, f"without --loss_type {loss}", lambda args, loss=loss: args.loss_type != loss)
        for loss, names in LOSS_PARAMETERS.items()
        if names
    ),
    Rule(
        ("clr_max_lr", "clr_step_size", "clr_mode", "clr_gamma"),
        "without --use_cyclical_lr",
        lambda args: not args.use_cyclical_lr,
    ),
    Rule(("clr_gamma",), "without --clr_mode exp_range", lambda args: args.clr_mode != "exp_range"),
    Rule(
        ("fold",),
        "without --folds of that number or more",
        lambda args: args.fold > (args.folds or 0),
    ),
    Rule(("fold", "resume"), "without --run_name", lambda args: not args.run_name),
    Rule(("patience",), "with --keep_epoch last", lambda args: args.keep_epoch == "last"),
    Rule(
        ("use_clahe_val_test",),
        "with --folds: training films have no CLAHE copies",
        lambda args: args.folds,
    ),
    Rule(
        (
            "folds",
            "patience",
            "keep_epoch",
            "use_tta",
            "tta_steps",
            "use_cyclical_lr",
            "use_clahe_val_test",
            "resume",
            "lr_finetune",
            "epochs_finetune",
            "batch_size_eval",
        ),
        "with --find_lr",
        lambda args: args.find_lr,
    ),
    Rule(
        ("lr", "ema"),
        "with --find_lr, unless the head is trained first (--epochs_frozen and --fine_tune)",
        lambda args: args.find_lr and not (args.fine_tune and args.epochs_frozen),
    ),
    Rule(("show",), "with --folds", lambda args: args.folds),
    Rule(
        ("mixup_alpha",),
        "with --batch_size 1: a film is mixed with others of its step",
        lambda args: args.batch_size == 1,
    ),
    SINGLE_VIEW,
    Rule(("tta_steps",), "without --use_tta", lambda args: not args.use_tta),
)
RUNTIME_RULES = (
    Rule(
        ("precision",),
        f"without --runtime {', '.join(RUNTIMES)}",
        lambda args: args.runtime not in RUNTIMES,
    ),
)
# for commands on a finished run, which has its own number of views
RUN_RULES = (
    *RUNTIME_RULES,
    SINGLE_VIEW,
    Rule(
        ("use_tta",),
        "with --calibration, which sets the number of views",
        lambda args: args.calibration,
    ),
)
PREDICTION_RULES = (*RUN_RULES, Rule(("match_by",), "without --csv", lambda args: not args.csv))
EVALUATION_RULES = (
    *RUN_RULES,
    Rule(("greedy",), "without --ensemble", lambda args: not args.ensemble),
    Rule(("name",), "without --calibrate", lambda args: not args.calibrate),
    Rule(
        ("csv", "ensemble", "calibration", "out", "show"),
        "with --calibrate",
        lambda args: args.calibrate,
    ),
    Rule(
        ("readers", "match_by"),
        "without --csv or --calibrate",
        lambda args: not (args.csv or args.calibrate),
    ),
    Rule(
        ("split", "data_dir", "use_clahe_val_test"),
        "with --csv or --calibrate, which use other films",
        lambda args: args.csv or args.calibrate,
    ),
)
BENCHMARK_RULES = (
    Rule(
        ("backbones", "model_type", "img_size", "img_height", "img_width", "weights"),
        "with --model",
        lambda args: args.model,
    ),
)


def parse_effective(parser, rules, argv):
    """Parse the options; one that was typed but would have no effect is an error (exit code 2)."""
    args = parser.parse_args(argv)
    typed = typed_options(parser, argv, vars(args))
    for options, case, holds in rules:
        idle = [name for name in options if name in typed and getattr(args, name) not in OFF]
        if idle and holds(args):
            parser.error(f"--{idle[0]} has no effect {case}")
    return args


def effective(options):
    """Return options of a training, with those that have no effect beside the others set to their
    defaults. A preset may set these in vain; typed, each would be an error. Rules apply in their
    order: what one has reset is no case for those after it, such as `feature_views`."""
    defaults = training_defaults()
    args = argparse.Namespace(**(defaults | options))
    for names, _, holds in TRAINING_RULES:
        idle = [name for name in names if getattr(args, name) not in OFF]
        if idle and holds(args):
            vars(args).update({name: defaults[name] for name in idle})
    return {name: getattr(args, name) for name in options}


def typed_options(parser, argv, names):
    """Return those of the `names` of a parser's options that were typed in a command line."""
    absent = object()
    found, _ = parser.parse_known_args(argv, argparse.Namespace(**dict.fromkeys(names, absent)))
    return {name for name in names if getattr(found, name) is not absent}
