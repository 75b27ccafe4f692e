"""Make a trained run small enough to ship.

    python -m inference_speed.ship_model RUN --out models/NAME

Kernels are stored in half precision, which Keras reads like any other model, from version 3.8 on;
if that would change the months of the films of df_val.csv, in single precision. What is included,
and what is not, is in docs/RUNS.md, "Before you share a run".
"""

import io
import json
import math
import zipfile
from pathlib import Path, PureWindowsPath

import numpy as np

from inference_speed.parity import TOLERANCES, differences, predict_sample, run_films
from util.errors import UserError, run_command
from util.files import check_place, move, working_folder, write_csv
from util.finished_runs import read_run
from util.parser import new_parser
from util.run_options import PATHS
from util.runs import CALIBRATION, CONFIG, FILM_HASHES, FILM_LISTS, METRICS, MODEL, READINGS, Run

LARGEST_DIFFERENCE = TOLERANCES["f32"]["max"]  # months
SMALL = 140_000  # values; smaller arrays, those of the first layers, stay in single precision
NEWER = {  # layer settings that Keras added after 3.8, and their defaults
    "quantization_config": None,
    "input_axes": None,
    "output_axes": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
CARD = "README.md"
# keys of config.json that go along
# fmt: off
KEPT = (
    "options", "data", "hand_crop", "start", "weights_sha256", "versions", "git_commit", "variables",
)
# fmt: on


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder to ship")
    parser.add_argument(
        "--film_hashes",
        action="store_true",
        help="add hashes of its films, if these are public: trying out ids reveals their labels",
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    from util.model_card import model_card

    run, out = read_run(args.run), Path(args.out)
    check_shippable(run, args)
    sample = run_films(run.options, ["val"], n=600)  # phantoms if they can't be read
    out.parent.mkdir(parents=True, exist_ok=True)
    with working_folder(out.parent, ".ship-") as work:
        shipped = Run(work / out.name)
        shipped.folder.mkdir()
        largest = copy_model(run, shipped, sample)
        shipped.write_json(CONFIG, portable(run.config))
        for name in (CALIBRATION, READINGS, METRICS):
            if content := run.read_json(name):
                shipped.write_json(name, content)
        if args.film_hashes:
            write_csv(shipped.path(FILM_HASHES), hash_splits(run))
        shipped.path(CARD).write_text(model_card(shipped, out.name), encoding="utf-8")
        move(shipped.folder, out)
    size = (out / MODEL).stat().st_size / 1e6
    print(f"{out}: {size:.2f} MB, {sample.title} up to {largest:.3f} months off")
    if patches := sorted(run.folder.glob("code*.patch")):
        names = ", ".join(map(str, patches))
        print(f"note: its code differed from the commit; for others to repeat it, add {names}")
    print(f"next: complete the model card ({out / CARD})")


def check_shippable(run, args):
    """UserError when the run is not finished, lacks the lists of films that --film_hashes needs, or
    when no folder can be made at --out."""
    if not run.metrics:
        raise UserError(
            f"the training is not finished: no {METRICS} ({args.run}). Continue it with --resume."
        )
    listed = all((run.folder / name).exists() for name in FILM_LISTS.values())
    if args.film_hashes and not (listed or run.path(FILM_HASHES).exists()):
        raise UserError(f"the run has no lists of its films ({args.run}). Leave out --film_hashes.")
    if Path(args.out).exists():
        raise UserError(f"the folder is there already ({args.out}). Choose another --out.")
    check_place(Path(args.out))


def copy_model(run, shipped, sample):
    """Copy the model of a run in half precision if its months of a sample agree, else in single
    precision. Returns by how many months they differ at most; UserError when they agree in
    neither."""
    from util.predicting.prediction import load_predictor

    predict, _ = load_predictor(run, "keras")
    expected = predict_sample(predict, sample)
    for precision, small in (("half", SMALL), ("single", math.inf)):
        shrink_model(run.path(MODEL), shipped.path(MODEL), small)
        predict, _ = load_predictor(shipped, "keras")
        largest = differences(predict_sample(predict, sample), expected)["max"]
        if largest <= LARGEST_DIFFERENCE:  # False for NaN
            return largest
        print(f"in {precision} precision {sample.title} are up to {largest:.3f} months off")
    raise UserError(f"the copy predicts differently ({run.folder}). Train it again.")


def portable(config):
    """Return what of config.json goes along: nothing of the machine, and only the last names of
    paths. The config of the run that it started from is reduced in the same way."""
    kept = {key: config[key] for key in KEPT if key in config}
    options = kept["options"] = dict(config["options"])
    for name in PATHS:
        if options.get(name):
            options[name] = PureWindowsPath(options[name]).name  # splits at "/" as well
    if "start" in kept:
        kept["start"] = portable(kept["start"])
    return kept


def hash_splits(run):
    """Return the films of a run's splits as hashes: a frame of split and film, each split in the
    order of its hashes. A shipped run has them already."""
    import pandas as pd

    from util.identity import hash_films
    from util.metrics import read_predictions

    if run.path(FILM_HASHES).exists():
        return pd.read_csv(run.path(FILM_HASHES), dtype=str)
    parts = []
    for split, name in FILM_LISTS.items():
        films = hash_films(read_predictions(run.folder / name)).sort_values()
        parts.append(pd.DataFrame({"split": split, "film": films}))
    return pd.concat(parts)


def shrink_model(source, target, small):
    """Copy a `.keras` file with its arrays of more than `small` values in float16, and without
    NEWER settings of layers."""
    import h5py

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".h5"):
                halved = io.BytesIO()
                with h5py.File(io.BytesIO(data)) as weights, h5py.File(halved, "w") as copy:
                    copy_group(weights, copy, small)
                data = halved.getvalue()
            elif name == "config.json":
                data = json.dumps(without_newer(json.loads(data))).encode()
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # with a fixed date


def without_newer(config):
    """Return a Keras config without NEWER settings that are at their defaults: older versions of
    Keras refuse these settings, but behave like the defaults."""
    if isinstance(config, list):
        return [without_newer(item) for item in config]
    if not isinstance(config, dict):
        return config
    absent = object()
    return {
        key: without_newer(value)
        for key, value in config.items()
        if NEWER.get(key, absent) != value
    }


def copy_group(group, copy, small):
    """Copy an HDF5 group with its arrays of more than `small` values in float16. UserError when an
    array is in another file, which would be shipped as well."""
    import h5py

    copy.attrs.update(group.attrs)
    for name in group:
        inside = isinstance(group.get(name, getlink=True), h5py.HardLink)
        item = group[name] if inside else None
        if not inside or getattr(item, "external", None) or getattr(item, "is_virtual", False):
            raise UserError(f"weights of the model are in another file ({name}). Train it again.")
        if hasattr(item, "keys"):
            copy_group(item, copy.create_group(name), small)
        else:
            values = item[()]
            large = np.size(values) > small
            copy.create_dataset(name, data=values.astype(np.float16) if large else values)
            copy[name].attrs.update(item.attrs)


if __name__ == "__main__":
    run_command(main)
