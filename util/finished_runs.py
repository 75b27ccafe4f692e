"""Finished runs, to predict with: which folders hold one, its model, and what is said with it."""

import sys
from pathlib import Path

from util.backbones import sees_sex
from util.errors import UserError, first_line, print_note
from util.runs import CALIBRATION, CONFIG, METRICS, MODEL, SHIPPED, Run, config_error

RESEARCH_ONLY = "Research use only: not a medical device."


def read_run(folder):
    """Return the Run in a folder, for evaluation or prediction. UserError when there is none, or
    when its training has not ended."""
    if Path(folder).is_file():
        raise UserError(
            f"a run is a folder, and that is a file ({folder}). Name the folder it is in."
        )
    run = Run(folder)
    config = run.config
    if config is None or not run.path(MODEL).exists():
        if find_folds(folder):
            raise UserError(
                f"that is a folder of folds, but one run is needed ({folder}). Name one of them: "
                f"{fold_folder(folder, 1)}."
            )
        raise UserError(
            f"no trained run: config.json or model.keras is missing ({folder}). {runs_nearby(folder)}"
        )
    if not is_complete(config):
        raise config_error(folder)
    if not run.path(CALIBRATION).exists():
        if run.path(METRICS).exists():
            raise UserError(
                f"calibration.json, which corrects the months, is missing ({folder}). Restore it, or "
                "train the run again."
            )
        raise UserError(
            f"the training is not finished ({folder}). Continue it with --resume, or wait for it."
        )
    return run


def is_complete(config):
    """Whether a config holds what every use of its run needs, each of its own kind."""
    kinds = {"model_type": str, "img_size": int, "fit": str}
    return (
        all(isinstance(config["options"].get(name), kind) for name, kind in kinds.items())
        and config["options"]["img_size"] > 0
        and isinstance(config.get("data"), dict)
        and isinstance(config.get("hand_crop", {}), dict)
    )


def load_run_model(run):
    """Load the model that a run kept. UserError when it is damaged or another, see `check_shapes`,
    or when a GPU can't take it."""
    import keras
    import tensorflow as tf

    path = run.path(MODEL)
    try:
        model = keras.models.load_model(path)
        inputs, outputs = ([x.shape[1:] for x in ends] for ends in (model.inputs, model.outputs))
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        raise UserError(
            f"TensorFlow can't load the model: {first_line(error)} ({path}). If memory is full, "
            "free some; the environment variable CUDA_VISIBLE_DEVICES=-1 chooses the processor."
        ) from None
    except Exception as error:  # each kind of damage raises its own
        raise UserError(
            f"the model can't be loaded: {first_line(error)} ({path}). Train it again."
        ) from None
    check_shapes(inputs, outputs, run)
    return model


def check_shapes(inputs, outputs, run):
    """UserError unless the shapes of what a model takes and gives are those of its run: another
    model may give numbers as well. A folder without config.json is not checked."""
    if config := run.config:
        size, sex = config["options"]["img_size"], sees_sex(config["options"]["model_type"])
        trained = [(size, size, 1), (1,)][: 1 + sex]
        if (inputs, outputs) != (trained, [(1,)]):
            raise UserError(
                f"the model is not that of the run: it takes {inputs} and gives {outputs}, by "
                f"config.json it takes {trained} and gives [(1,)] ({run.path(MODEL)}). Restore the "
                "model.keras of the run, or train it again."
            )


def holds_run(folder):
    """Whether a folder is that of a run or of folds, even if it is unfinished or damaged."""
    return any(any(Path(folder).glob(name)) for name in (CONFIG, MODEL, f"fold_*/{CONFIG}"))


def runs_nearby(folder):
    """Return a sentence that names the runs in or beside a folder that is no run itself."""
    folder = Path(folder).absolute()
    near = {path for place in (folder, folder.parent) for path in place.glob("*")} - {folder}
    runs = sorted(str(path) for path in near if holds_run(path))
    if not runs:
        return "Name the folder of a run, such as results/NAME."
    more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
    return f"Runs nearby: {', '.join(runs[:5])}{more}."


def fold_folder(folder, fold):
    """The run folder of a fold, counted from 1."""
    return Path(folder) / f"fold_{fold}"


def configs_of_folds(folder):
    """Return an iterator over the config.json of each fold that was started in a folder."""
    return (Run(path.parent).config for path in Path(folder).glob(f"fold_*/{CONFIG}"))


def find_folds(folder):
    """The run folders of all folds in a folder, [] when it holds none. UserError when one of them
    isn't finished."""
    config = next(configs_of_folds(folder), None)
    folds = config["options"].get("folds") or 0 if config else 0
    runs = [fold_folder(folder, fold) for fold in range(1, folds + 1)]
    missing = [run.name for run in runs if not (run / METRICS).exists()]
    if missing:
        raise UserError(
            f"not finished: {', '.join(missing)} of {folds} ({folder}). "
            "Resume the training by --resume, or name the finished folds."
        )
    return runs


def model_warning(folders):
    """Return one line that everyone who predicts with these runs must know."""
    if folders != [str(SHIPPED)]:
        return RESEARCH_ONLY
    return (
        f"model {SHIPPED.name}: its training films and its errors are described in "
        f"{SHIPPED.parent / 'README.md'}. {RESEARCH_ONLY}"
    )


def print_model_notes(folders, notes):
    """Print `model_warning` of the runs in `folders`, and the `notes` on their ensemble, to
    standard error."""
    print(model_warning(folders), file=sys.stderr)
    for note in notes:
        print_note(note)
