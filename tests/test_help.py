"""Every command starts quickly, its help without the libraries that take seconds to load, and ends
in a line that is understood (util/errors.py, util/quiet.py)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, check_error_line, run_as_command, run_python

from util.errors import UserError
from util.quiet import import_tensorflow
from util.runs import SHIPPED

SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py") if "__main__" in path.read_text())
MODULES = [
    f"{folder}.{path.stem}"
    for folder in ("benchmarks", "clahe", "hand_crop", "inference_speed")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "    run_command(" in path.read_text()
]
HEAVY = {"tensorflow", "keras", "matplotlib", "sklearn", "openvino"}
# the others do without until they work
WITH_PANDAS = ("clahe", "benchmarks", "hand_crop")


def test_all_commands_are_here():
    assert {"import_data", "predict", "evaluate", "run_all_backbones"} <= set(SCRIPTS)
    assert {"clahe.apply_test", "inference_speed.export_model"} <= set(MODULES)
    assert len(SCRIPTS) + len(MODULES) > 18


@pytest.mark.parametrize("name", [*SCRIPTS, *MODULES])
def test_readme_names_each_command(name):
    """Other modules have no help."""
    folder, _, last = name.rpartition(".")
    first = rf"\| `python -m {folder}\.[^|]*\b{last}`" if folder else rf"\| `{name}\.py`"
    assert re.search(first, (ROOT / "README.md").read_text())


@pytest.mark.parametrize("words", [["predict.py", "film.png"], ["-m", "benchmarks.stress"]])
def test_a_python_without_the_packages_is_told_of_the_environment(words):
    process = run_python("-S", *words)
    check_error_line(process, "Activate the environment", sys.executable)


def test_a_tensorflow_that_is_broken_is_told_in_one_line(monkeypatch, tmp_path):
    """TensorFlow's error begins with the traceback of its cause."""
    (tmp_path / "keras.py").write_text(
        "try: raise ImportError('DLL load failed.')\n"
        "except ImportError as cause: raise ImportError('Traceback:\\n...') from cause\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(UserError, match=r"can't be imported: DLL load failed\. Install"):
        import_tensorflow.__wrapped__()  # as for the first time


def test_threads_that_are_quiet_at_once_leave_stderr_to_the_program():
    code = (
        "import sys, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from util.quiet import quiet_stderr\n"
        "def be_quiet(seconds):\n"
        "    with quiet_stderr(): time.sleep(seconds)\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(be_quiet, (0.1, 0.2)))\n"
        "print('still heard', file=sys.stderr)"
    )
    assert run_python("-c", code).stderr == "still heard\n"


def test_tensorflow_is_not_looked_through_for_garbage_in_a_command():
    code = (
        "import gc\n"
        "from util.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000 > len(gc.get_objects())"
    )
    process = run_as_command(code)
    assert process.returncode == 0, process.stderr


def test_what_a_program_drops_after_tensorflow_was_imported_is_freed():
    code = (
        "import gc, weakref\n"
        "from util.quiet import import_tensorflow\n"
        "class Model: pass\n"
        "model = Model()\n"
        "model.itself, alive = model, weakref.ref(model)\n"
        "import_tensorflow()\n"
        "del model\n"
        "gc.collect()\n"
        "assert gc.isenabled() and not alive()"
    )
    process = run_python("-c", code)
    assert process.returncode == 0, process.stderr


def test_tensorflow_comes_without_modules_of_no_use_to_a_command_which_can_be_imported_later():
    code = (
        "import sys\n"
        "from util.quiet import OF_NO_USE, import_tensorflow\n"
        "import_tensorflow()\n"
        "loaded = set(OF_NO_USE) & set(sys.modules)\n"
        "import matplotlib.pyplot, sklearn.model_selection\n"
        "sys.exit(str(loaded) if loaded else 0)"
    )
    process = run_as_command(code)
    assert process.returncode == 0, process.stderr


def test_a_program_has_all_of_keras():
    """Its wrappers for scikit-learn look for it when Keras is imported."""
    code = (
        "from util.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "import keras\n"
        "keras.wrappers.SKLearnRegressor(lambda X, y: None).get_params()"
    )
    process = run_python("-c", code)
    assert process.returncode == 0, process.stderr


def test_an_evaluation_does_without_the_slow_import_of_scipy_stats():
    code = (
        "import sys, numpy as np, pandas as pd\n"
        "from util.predicting.intervals import evaluate_with_intervals\n"
        "from util.metrics import AGE_BANDS\n"
        "months = np.arange(12.0, 132)\n"
        "films = pd.DataFrame({'id': months.astype(str), 'sex': 60 * [0, 1], 'boneage': months})\n"
        "films = films.assign(predicted=months + 1, error=1.0)\n"
        "half_width = dict.fromkeys(AGE_BANDS, {'months': 20.0})\n"
        "metrics = evaluate_with_intervals(films, half_width)\n"
        "assert metrics['limits_of_agreement_ci95'] and metrics['intervals']['all']\n"
        "sys.exit('scipy.stats' in sys.modules)"
    )
    process = run_python("-c", code)
    assert process.returncode == 0, process.stderr


def test_a_command_that_fails_by_a_fault_of_its_own_is_not_taken_for_one_that_finished():
    process = run_as_command("1 / 0")
    assert "ZeroDivisionError" in process.stderr
    assert process.returncode == 2


def test_a_reader_that_goes_away_ends_a_command_in_silence():
    """As `predict.py films/ | head -1` does."""
    code = (
        "from util.errors import run_command\n"
        "run_command(lambda: [print(line, flush=True) for line in range(100_000)] and 0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is full")
def test_a_full_disk_for_what_is_printed_is_told_in_a_line():
    code = "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('141.2 months')"
    check_error_line(run_as_command(code), "No space left on device")


def test_what_libraries_print_to_a_closed_stream_goes_into_no_file(tmp_path):
    """As under 2>&-, where the next file that is opened gets the number of the stream."""
    code = (
        f"with open({str(tmp_path / 'table.csv')!r}, 'w') as table, quiet_stderr():\n"
        "    os.write(2, b'a warning')\n"
        "    print('a note', file=sys.stderr)\n"
        "    print('months')"
    )
    closed = (
        "import os, sys; from util.quiet import quiet_stderr\n"
        "for number in (0, 2): os.close(number)\n"
        "sys.stdin = sys.stderr = None"
    )
    process = run_as_command(code, closed)
    assert (process.returncode, process.stdout) == (0, "months\n")
    assert (tmp_path / "table.csv").read_text() == ""


def test_the_line_of_usage_holds_only_what_must_be_given():
    process = run_python("import_data.py", "--help")
    usage = process.stdout.splitlines()[0]
    assert usage == "usage: import_data.py --source DIR_OR_ZIP [DIR_OR_ZIP ...] [options]"


def test_the_model_that_predicts_by_default_is_named_as_it_can_be_typed():
    words = " ".join(run_python("predict.py", "--help").stdout.split())
    default = re.search(r"--model RUN .*?\(default: (.*?)\)", words)[1]
    assert (ROOT / default).samefile(SHIPPED)


@pytest.mark.parametrize("name", [*SCRIPTS, *MODULES])
def test_help_loads_nothing_heavy(name):
    heavy = HEAVY if name.startswith(WITH_PANDAS) else HEAVY | {"pandas"}
    code = (
        "import runpy, sys\n"
        "sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({name!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"found = {heavy!r} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    process = run_python("-c", code)
    assert process.returncode == 0, process.stderr
    assert "--help" in process.stdout
    lines = process.stdout.splitlines()
    assert max(map(len, lines)) <= 100  # no list of 40 names in one line
    assert not any(line.startswith("python ") for line in lines)  # examples are indented
