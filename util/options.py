"""Options that several commands share: the same name means the same thing everywhere."""

from util.backbones import BACKBONES, FIRST_FIFTEEN
from util.parser import whole_number
from util.predicting.runtimes import PRECISIONS, RUNTIMES
from util.runs import SHIPPED
from util.tta import TTA_STEPS, VIEWS

# of a canvas, in pixels: the least that a network takes, and more than most films have
SIDES = (32, 4096)


def add_clahe(group, effect):
    group.add_argument("--use_clahe_val_test", action="store_true", help=effect)


def add_cache_dir(group):
    group.add_argument(
        "--cache_dir", help="folder for decoded films (default: <data_dir>/cache); safe to delete"
    )


def add_male_value(group):
    group.add_argument(
        "--male_value",
        type=int,
        choices=(0, 1, 2),
        help="which number means male, where a column 'sex' or 'gender' holds 0 and 1, or 1 and 2",
    )


def add_match_by(group):
    group.add_argument(
        "--match_by",
        metavar="ELEMENT",
        help="the ids of the table are not names of films, but what their DICOM headers hold in this "
        "element, such as AccessionNumber",
    )


def add_readers(group):
    group.add_argument(
        "--readers",
        nargs="*",
        metavar="COLUMN",
        help="take the mean of several readers as the label of a film, and report how far apart they "
        "are; name the columns of their ages, or no column if a film has a row for each reader",
    )


def add_backbones(parser, purpose):
    """Add a choice of several backbones; the default is those of earlier versions."""
    parser.add_argument(
        "--backbones",
        nargs="+",
        choices=sorted(BACKBONES),
        default=FIRST_FIFTEEN,
        metavar="NAME",
        help=f"networks to {purpose}, of: " + ", ".join(sorted(BACKBONES)),
    )


def add_views(parser):
    """Add the options for how many views of a film a finished run averages over; if none is typed,
    `choose_views` of util/predicting/ensemble.py decides."""
    parser.add_argument(
        "--use_tta",
        action="store_true",
        help=f"predict the mean over several views of a film: as many as in training, else {TTA_STEPS}",
    )
    parser.add_argument(
        "--tta_steps",
        type=whole_number(1, len(VIEWS)),
        help="number of views, 1 for the film alone (default: as in training; 1 if the runs differ)",
    )


def add_runtime(group, auto):
    """Add the options for what computes the months; with `auto`, the quickest is a choice and the
    default."""
    choices = ["keras", *RUNTIMES]
    effect = "Keras, or an export of the run (inference_speed.export_model)"
    if auto:
        choices.insert(0, "auto")
        effect += (
            "; auto is the f32 export that was quickest when made, unless Keras, including its "
            "start, would be quicker"
        )
    group.add_argument("--runtime", choices=choices, default=choices[0], help=effect)
    group.add_argument(
        "--precision", choices=PRECISIONS, default="f32", help="which export of the runtime"
    )


def add_models(parser):
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="RUN",
        help=f"folder of a trained run, or several (default: {SHIPPED.parent.name}/{SHIPPED.name})",
    )


def add_calibration(group):
    group.add_argument(
        "--calibration",
        metavar="NAME",
        help="correct months by a calibration that evaluate.py --calibrate stored in the run",
    )


def add_workers(parser):
    parser.add_argument(
        "--workers", type=whole_number(1), help="films at once (default: all cores)"
    )


def add_evaluation_batch(group):
    group.add_argument(
        "--batch_size_eval",
        "--batch_size_val",
        "--batch_size_test",
        type=whole_number(1),
        default=32,
        help="films predicted at once: speed and memory, not results (three names of one option)",
    )


def add_seed(group):
    group.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=42, help="seed of every random choice"
    )


def add_show(group):
    group.add_argument("--show", action="store_true", help="open the plots when done")
