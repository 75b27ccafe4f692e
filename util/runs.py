"""The run folder: what went in, what came out, and enough to resume after a kill; docs/RUNS.md
lists its files."""

import json
import shutil
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from util.errors import UserError
from util.files import quote, write_json

CONFIG, MODEL, METRICS = "config.json", "model.keras", "metrics.json"
HISTORY = "history.csv"  # a row for each epoch
SHIPPED = Path(__file__).resolve().parents[1] / "models" / "mobilenet_256"  # predicts by default
STATE = "state.npz"  # of training, to resume from


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


def best_row(history):
    """Return the index label of the history row whose model was kept: the last row so marked."""
    return history.index[history["kept"].eq(True)][-1]
