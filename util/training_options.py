"""The options of the training scripts: one parser for all of them."""

import argparse

from util.augmentation import STRENGTHS
from util.backbones import BACKBONES, MODEL_TYPES
from util.options import (
    SIDES,
    add_cache_dir,
    add_clahe,
    add_evaluation_batch,
    add_male_value,
    add_seed,
    add_show,
)
from util.parser import folder_name, new_parser, real_number, whole_number
from util.phases import CLR_MODES
from util.radiographs import FITS
from util.tta import TTA_STEPS, VIEWS
from util.weights import weights_option

LOSS_PARAMETERS = {  # of each --loss_type, the options that it alone takes
    "mae": (),
    "mse": (),
    "huber": ("huber_delta",),
    "smooth_l1": ("smooth_l1_sigma",),
    "wing": ("wing_w", "wing_epsilon"),
}
LOSS_TYPES = tuple(LOSS_PARAMETERS)
# those that `build_model` takes by their names
MODEL_OPTIONS = ("activation", "dropout_rate", "dense_units", "gender_units")
WITHOUT_WEIGHTS = ("dropout_rate",)  # no weight depends on them: a run to start from may differ
RATE = real_number(0, 1, open_low=True)


def training_parser(description, baseline=False, enhancements=False):
    """Return the parser of a training script: `baseline` is without the options of the sex,
    `enhancements` adds those of the streamlined script."""
    parser = new_parser(description)
    add_data_options(parser)
    add_model_options(parser, baseline)
    add_phase_options(parser.add_argument_group("phases of training"))
    add_step_options(parser.add_argument_group("steps of training"))
    add_accelerators(parser)
    if enhancements:
        add_enhancement_options(parser)
    else:
        leave_out_enhancements(parser)
    add_run_options(parser)
    return parser


def training_defaults():
    """Return all options of a training at their defaults, {name: value}."""
    return vars(training_parser(None, enhancements=True).parse_args([]))


def add_data_options(parser):
    group = parser.add_argument_group("data")
    group.add_argument("--data_dir", default="Data", help="folder with train/, df_train.csv, ...")
    add_cache_dir(group)
    add_male_value(group)
    add_canvas_options(group)
    add_clahe(
        group,
        "evaluate also on CLAHE copies of validation and test films (made if missing); not with "
        "--folds",
    )
    group.add_argument(
        "--folds",
        type=whole_number(2),
        help="cross-validation: divide training and validation films into this many parts, "
        "and train a run for each, validated on it; the test split stays untouched",
    )
    group.add_argument(
        "--fold", type=whole_number(1), help="train only this one of --folds: 1, 2, ..."
    )


def add_canvas_options(group):
    group.add_argument(
        "--img_size",
        type=whole_number(*SIDES),
        default=500,
        help="side of the square canvas, in pixels",
    )
    fit = group.add_mutually_exclusive_group()
    fit.add_argument(
        "--fit",
        choices=FITS,
        default="hand",
        help="hand sets a clearly turned or inverted film right, cuts it to the hand and squeezes it into the "
        "square; stretch squeezes the whole film; pad keeps its aspect ratio",
    )
    fit.add_argument(
        "--crop_hand",
        dest="fit",
        action="store_const",
        const="hand",
        help="short for --fit hand, the default",
    )


def add_switch(group, name, effect):
    """Add a switch that a preset may turn on; `--no_<name>` turns it off again."""
    group.add_argument(f"--{name}", action="store_true", help=f"{effect} (skip it by --no_{name})")
    group.add_argument(f"--no_{name}", dest=name, action="store_false", help=argparse.SUPPRESS)


def add_model_options(parser, baseline):
    """Add the options of the model; for `baseline` alone without those that would have no
    effect."""
    group = parser.add_argument_group("model")
    if baseline:
        parser.set_defaults(model_type="baseline", gender_units=None)
    else:
        group.add_argument(
            "--model_type",
            choices=MODEL_TYPES,
            default="sex",
            help="baseline sees the film alone; the others get the sex as well; attn_* use attention",
        )
        group.add_argument(
            "--gender_units",
            type=whole_number(1),
            default=32,
            help="width of the layer that sees the sex",
        )
    group.add_argument(
        "--backbone",
        choices=sorted(BACKBONES),
        default="xception",
        metavar="NAME",
        help="network of keras.applications: " + ", ".join(sorted(BACKBONES)),
    )
    group.add_argument(
        "--weights",
        type=weights_option,
        default="imagenet",
        metavar="imagenet|none|FILE|RUN",
        help="what to start from; FILE holds include_top=False weights of the backbone, the folder "
        "of a trained RUN the whole model",
    )
    group.add_argument("--activation", default="relu", help="activation of the dense layers")
    group.add_argument(
        "--dropout_rate", type=real_number(0, 0.95), default=0.3, help="dropout before the output"
    )
    group.add_argument(
        "--dense_units", type=whole_number(1), default=500, help="width of the dense layer"
    )


def add_phase_options(group):
    group.add_argument(
        "--epochs_frozen", type=whole_number(0), default=5, help="epochs with a frozen backbone"
    )
    add_switch(group, "fine_tune", "then train the whole backbone as well")
    group.add_argument(
        "--epochs_finetune", type=whole_number(1), default=10, help="epochs of fine-tuning"
    )
    group.add_argument(
        "--patience",
        type=whole_number(0),
        default=10,
        help="end a phase after this many epochs without a better validation MAE; 0: never",
    )
    group.add_argument(
        "--keep_epoch",
        choices=("best", "last"),
        default="best",
        help="which epoch's model is kept: the best on validation films, or the last: if a run "
        "starts from a finished one, epochs hardly differ, and which is best is chance",
    )
    group.add_argument(
        "--feature_views",
        type=whole_number(0, 3),
        default=0,
        metavar="0-3",
        help="without --fine_tune: train the head on features of this many views of each film, "
        "computed once, instead of a backbone pass in every epoch; 0 is off",
    )


def add_step_options(group):
    group.add_argument(
        "--lr",
        type=RATE,
        default=1e-3,
        help="peak learning rate of the frozen epochs (with --use_cyclical_lr the lowest)",
    )
    group.add_argument("--lr_finetune", type=RATE, default=3e-4, help="the same in fine-tuning")
    group.add_argument(
        "--batch_size",
        "--batch_size_train",
        type=whole_number(1),
        default=32,
        help="films in a training step",
    )
    group.add_argument(
        "--augment", choices=STRENGTHS, default="moderate", help="strength of the augmentation"
    )
    group.add_argument(
        "--bn",
        choices=("auto", "frozen", "train"),
        default="auto",
        help="BatchNorm statistics in fine-tuning: train follows the batches and learns faster, "
        "frozen keeps the pretrained ones (auto: frozen for pretrained weights with fewer than 16 "
        "films a batch and device, else train)",
    )
    group.add_argument(
        "--weight_decay",
        type=real_number(0, 1),
        default=0.01,
        help="decoupled weight decay of AdamW",
    )
    group.add_argument(
        "--gradient_clip_norm",
        type=real_number(0),
        default=1.0,
        help="largest gradient norm; 0 is off",
    )
    group.add_argument(
        "--ema",
        type=real_number(0, 0.99999),
        default=0.995,
        help="decay of the moving average of the weights, which is what is validated and saved; less "
        "in short phases, as it spans at most a tenth of the steps; 0 is off",
    )
    add_seed(group)


def add_accelerators(parser):
    group = parser.add_argument_group("speed")
    add_switch(
        group,
        "mixed_precision",
        "compute in float16 on a GPU, else in bfloat16; the saved model is float32",
    )
    group.add_argument(
        "--jit_compile", action="store_true", help="compile the training step with XLA, on a GPU"
    )
    group.add_argument(
        "--strategy",
        choices=("none", "mirrored"),
        default="none",
        help="mirrored shares out each batch to all GPUs of the machine",
    )


def add_enhancement_options(parser):
    """Add the options of train_advanced_streamlined.py; for the other scripts they stay at their
    defaults."""
    add_augmentation_options(parser.add_argument_group("augmentation"))
    add_loss_options(parser.add_argument_group("loss"))
    add_cycle_options(parser.add_argument_group("cyclical learning rate"))


def add_augmentation_options(group):
    group.add_argument(
        "--mixup_alpha",
        type=real_number(0),
        default=0.0,
        help="blend films, their sex and label in pairs, by Beta(alpha, alpha); 0 is off",
    )
    group.add_argument(
        "--label_noise_std",
        type=real_number(0),
        default=0.0,
        help="SD in months of noise added to training labels; 0 is off",
    )
    group.add_argument(
        "--blur",
        type=real_number(0, 0.1),
        default=0.0,
        help="largest SD of a blur that up to half of the training films get, as a share of their "
        "side, so that months change less on blurred films: 0.006 was tried; 0 is off",
    )
    group.add_argument(
        "--grain",
        type=real_number(0, 100),
        default=0.0,
        help="largest SD in grey levels (0-255) of noise that half of the training films get, so that "
        "months change less on grainy or compressed films: 12 is a good choice; 0 is off",
    )
    add_switch(group, "use_tta", "predict the mean over several views of a film")
    group.add_argument(
        "--tta_steps",
        type=whole_number(1, len(VIEWS)),
        default=TTA_STEPS,
        help=f"views, including the film itself: 1-{len(VIEWS)}",
    )


def add_loss_options(group):
    positive = real_number(0, open_low=True)
    group.add_argument(
        "--loss_type", choices=LOSS_TYPES, default="mae", help="loss of errors in months"
    )
    group.add_argument(
        "--huber_delta", type=positive, default=6.0, help="months up to which huber is quadratic"
    )
    group.add_argument(
        "--smooth_l1_sigma",
        type=positive,
        default=1.0,
        help="smooth_l1 is quadratic below 1 / sigma^2 months",
    )
    group.add_argument(
        "--wing_w", type=positive, default=10.0, help="months up to which wing is logarithmic"
    )
    group.add_argument(
        "--wing_epsilon",
        type=positive,
        default=2.0,
        help="in months; smaller values curve the loss more",
    )


def add_cycle_options(group):
    group.add_argument(
        "--use_cyclical_lr", action="store_true", help="cycles instead of warm-up and cosine decay"
    )
    group.add_argument(
        "--clr_max_lr",
        type=RATE,
        help="top of a cycle; its foot is --lr or --lr_finetune (default: 4 times the foot)",
    )
    group.add_argument(
        "--clr_step_size",
        type=whole_number(1),
        help="steps from foot to top (default: about 2 epochs, so that a phase ends at the foot)",
    )
    group.add_argument("--clr_mode", choices=CLR_MODES, default="triangular", help="kind of cycle")
    group.add_argument(
        "--clr_gamma",
        type=RATE,
        default=0.9999,
        help="factor on the height at each step, for exp_range",
    )
    group.add_argument(
        "--find_lr",
        action="store_true",
        help="instead of training, find the rates at which the loss falls",
    )


def leave_out_enhancements(parser):
    """Give a script the defaults of `add_enhancement_options` without the options. Typing one of
    them is an error that names the script that has it."""
    full = argparse.ArgumentParser(add_help=False)
    add_enhancement_options(full)
    defaults = vars(full.parse_args([]))
    parser.set_defaults(**defaults)
    parser.streamlined = {f"--{name}" for name in (*defaults, "preset")}


def add_run_options(parser):
    group = parser.add_argument_group("run")
    group.add_argument("--results_dir", default="results", help="folder of all runs")
    group.add_argument(
        "--run_name",
        type=folder_name,
        metavar="NAME",
        help="folder of this run (default: model, backbone and time)",
    )
    group.add_argument("--resume", action="store_true", help="resume the stopped run of --run_name")
    add_evaluation_batch(group)
    group.add_argument(
        "--verbose",
        type=int,
        choices=(0, 1, 2),
        default=1,
        help="0 silent, 1 progress bar and a line an epoch, 2 a line an epoch",
    )
    add_show(group)
