"""The run folder: what went in, what came out, and enough to resume after a kill; docs/RUNS.md
lists its files."""

import json
import shutil
import sys
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from util.backbones import sees_sex
from util.errors import UserError, first_line, print_note
from util.files import quote, write_json

CONFIG, MODEL, METRICS = "config.json", "model.keras", "metrics.json"
HISTORY = "history.csv"  # a row for each epoch
SHIPPED = Path(__file__).resolve().parents[1] / "models" / "mobilenet_256"  # predicts by default
STATE = "state.npz"  # of training, to resume from
RESEARCH_ONLY = "Research use only: not a medical device."


def predictions_name(name):
    """Return the name of a file of predictions: `name` is such as "test", or "test_tta" for several
    views."""
    return f"predictions_{name}.csv"


FILM_LISTS = {  # id, sex and label of the films of each split
    "train": "train_films.csv",
    "val": predictions_name("val"),
    "test": predictions_name("test"),
}
FILM_HASHES = "film_hashes.csv"  # replaces them in a shipped run; columns: split, film
A_COPY = "RUN, such as a copy (cp -r)"  # to name if a run's own folder can't be written to
LOCK_TRIES, LOCK_PAUSE = 10, 0.3  # s; a training ends within 1 s of its killed sweep
CALIBRATION = "calibration.json"  # fitted to the validation films when the training ended
READINGS = "readings.json"  # counts of training labels (None if not kept), gain


class Run:
    """A run folder and its log."""

    def __init__(self, folder, verbose=1):
        self.folder = Path(folder)
        self.verbose = verbose
        self.locked = None  # the file whose lock keeps other trainings out

    def path(self, *names):
        return self.folder.joinpath(*names)

    @property
    def config(self):
        """config.json as it is now, or None if there is none; UserError when it isn't the config of
        a run."""
        config = self.read_json(CONFIG)
        if config is not None and not isinstance(config.get("options"), dict):
            raise config_error(self.folder)
        return config

    @property
    def options(self):
        """The options that the run was trained with, from config.json."""
        return self.config["options"]

    @property
    def metrics(self):
        """metrics.json as it is now; None where the run isn't finished."""
        return self.read_json(METRICS)

    @property
    def calibrations(self):
        """calibration.json as it is now: the calibration of each `views_key`; {} without any."""
        return self.read_json(CALIBRATION) or {}

    def say(self, text):
        """Print a line, unless under --verbose 0."""
        if self.verbose:
            print(text, flush=True)

    def log(self, text):
        """Add a line to log.txt, and print it as `say` does: the terminal may be gone."""
        with self.path("log.txt").open("a", errors="backslashreplace") as file:
            file.write(text + "\n")
        self.say(text)

    def read_json(self, name):
        """Read a JSON file of the run, None if there is none; UserError when it is damaged."""
        path = self.folder / name
        try:
            content = json.loads(path.read_text())
            if isinstance(content, dict | None):
                return content
        except (FileNotFoundError, NotADirectoryError):  # another job may have discarded the run
            return None
        except ValueError:
            pass
        raise UserError(f"a damaged file of the run ({path}). Train it again.")

    def write_json(self, name, content):
        write_json(self.path(name), content)

    def lock(self):
        """Keep other processes from training into the folder until `close`; UserError when one does
        already. Does nothing where there are no such locks: on Windows and some network folders."""
        if fcntl is None:
            return
        self.locked = self.path("log.txt").open("a")
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(self.locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(LOCK_PAUSE)
            except OSError:  # the folder has no locks
                return
        raise UserError(
            f"another process is training this run ({self.folder}). Wait for it, or stop it first."
        )

    def close(self):
        """Let others train into the folder again."""
        if self.locked:
            self.locked.close()

    def discard(self):
        """Remove the folder of a failed run, unless it has a saved state to resume from."""
        self.close()  # network folders don't remove open files
        if not (self.folder / STATE).exists():
            leaving = self.folder.with_name(f".{self.folder.name}.removed")  # all or nothing
            shutil.rmtree(leaving, ignore_errors=True)
            try:
                self.folder.rename(leaving)
            except OSError:  # a mount point, or a name that gets too long
                leaving = self.folder
            shutil.rmtree(leaving, ignore_errors=True)  # must not hide why the run failed


def config_error(folder):
    return UserError(
        f"config.json is not as this version of BoneAge writes it ({folder}). Use the version that "
        "trained the run (git_commit in it), or train it again."
    )


def how_to_predict(model, sees_sex, words=""):
    """The last line of a script that made or changed a model: the command that predicts with it."""
    sex = " --sex F" if sees_sex else ""
    return f"next: python predict.py FILM.png --model {quote(model)}{words}{sex}"


def configs_of(config):
    """Yield the config of a run, then that of the run it started from, and so on, each as it was
    then."""
    while config:
        yield config
        config = config.get("start")


def add_to_config(run, content):
    """Add facts to config.json."""
    run.write_json(CONFIG, run.config | content)


def changed_facts(now, known):
    """Return those facts {name: value} of `now` that have another value in `known`. A fact that is
    not `known` has not changed."""
    return {name: value for name, value in now.items() if known.get(name, value) != value}


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


def best_row(history):
    """Return the index label of the history row whose model was kept: the last row so marked."""
    return history.index[history["kept"].eq(True)][-1]


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
