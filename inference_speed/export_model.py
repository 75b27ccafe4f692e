"""Export the model of a run for a runtime that predicts without TensorFlow.

    python -m inference_speed.export_model --model results/my_run --format openvino
    python -m inference_speed.export_model --model results/my_run --format onnx --precision int8

The exported model is checked before it is kept: on films of the run's data, or on phantoms when
the data is not there, its months must be those of the Keras model. One that is too far off is not
kept, and the exit code is 1. predict.py then finds it in the run folder, see its --runtime.
"""

from datetime import datetime
from pathlib import Path

from util.backbones import sees_sex
from util.environment import installed_version
from util.errors import UserError, print_error, run_command
from util.files import check_folder_of, hash_file, move, record_path, working_folder, write_json
from util.finished_runs import load_run_model, read_run
from util.parser import new_parser
from util.predicting.exports import export_path, hash_export, precision_option
from util.predicting.runtimes import PRECISIONS, RUNTIMES, load_runtime
from util.quiet import import_tensorflow
from util.runs import MODEL, how_to_predict


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--model", required=True, metavar="RUN", help="folder of a trained run")
    parser.add_argument("--format", required=True, choices=RUNTIMES, help="runtime to export for")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="f32",
        help="f16 halves the file; bf16 computes in 16 bits, if supported; int8 computes the "
        "backbone in 8. "
        + "; ".join(f"{name}: {' '.join(RUNTIMES[name].precisions)}" for name in RUNTIMES),
    )
    parser.add_argument("--out", metavar="FILE", help="where to write (default: inside RUN)")
    args = parser.parse_args(argv)
    if args.precision not in RUNTIMES[args.format].precisions:
        known = ", ".join(RUNTIMES[args.format].precisions)
        parser.error(f"--format {args.format} has no {args.precision}, only {known}")
    return args


def main(argv=None):
    args = parse_args(argv)
    from inference_speed.convert import require_converter

    require_converter(args.format, args.precision)
    run = read_run(args.model)
    out = Path(args.out or export_path(run.folder, args.format, args.precision))
    check_out(out, RUNTIMES[args.format].endings)

    import_tensorflow()
    with working_folder(out.parent, ".export-") as work:
        record = export(run, args.format, args.precision, work / out.name)
        if record is None:
            return 1
        publish(work / out.name, out, RUNTIMES[args.format].endings, record)
    print(f"exported: {out}")
    by_keras = record["ms_a_film_keras"]
    print(f"a film of a batch takes {record['ms_a_film']:.1f} ms, by Keras {by_keras:.1f} ms")
    if not args.out:
        opted = precision_option(args.precision)
        told = sees_sex(run.options["model_type"])
        print(how_to_predict(run.folder, told, f" --runtime {args.format}{opted}"))
    return 0


def check_out(path, endings):
    """UserError, before any work, when an export can't be written. An existing export that has its
    record may be replaced, as it can be made again."""
    if path.suffix != endings[0]:
        raise UserError(f"a file for this runtime ends in {endings[0]} (--out {path}). Rename it.")
    check_folder_of(path)
    for file in [path.with_suffix(ending) for ending in endings]:
        if file.exists() and not record_path(path).exists():
            raise UserError(f"the file is there already ({file}). Choose another --out.")


def export(run, runtime, precision, path):
    """Write a run's model to `path`, compare it with Keras, and print how far it is off. Returns
    the record of the export; None, and prints the error, when it is too far off."""
    from inference_speed.convert import convert, is_calibrated
    from inference_speed.parity import (
        BATCH,
        TOLERANCES,
        differences,
        format_differences,
        predict_sample,
        run_films,
        too_far,
    )
    from inference_speed.turns import ms_a_film
    from util.predicting.prediction import compile_predictor

    model, options = load_run_model(run), run.options
    films = run_films(options, ("test", "val"))
    sample = run_films(options, ("train",)) if is_calibrated(runtime, precision) else None
    convert(model, runtime, precision, path, sample)
    predict = load_runtime(runtime, path)
    expected = predict_sample(compile_predictor(model), films)
    off = differences(predict_sample(predict, films), expected)
    print(f"{films.title}, months off Keras: {format_differences(off)}")
    if reason := too_far(off, precision):
        print_error(f"not kept: {reason}")
        return None
    # compiled again: the predictor of the comparison computes in whole float32, see `parity`
    ms, ms_keras = ms_a_film([predict, compile_predictor(model)], films, BATCH)
    return {
        "format": runtime,
        "precision": precision,
        "model_sha256": hash_file(run.path(MODEL)),
        "files_sha256": hash_export(path, runtime),
        "checked_on": films.title,
        "calibrated_on": sample and sample.title,
        "difference_months": off,
        "ms_a_film": ms,
        "ms_a_film_keras": ms_keras,
        "tolerance_months": TOLERANCES[precision],
        "versions": {
            name: installed_version(name) for name in (RUNTIMES[runtime].package, "keras")
        },
        "exported": datetime.now().isoformat(timespec="seconds"),
    }


def publish(made, out, endings, record):
    """Move an export to its place, and write its record last: an export without one does not
    count."""
    for ending in reversed(endings):
        move(made.with_suffix(ending), out.with_suffix(ending))
    write_json(record_path(out), record)


if __name__ == "__main__":
    run_command(main)
