"""Time a folder of films from files to months: predict.py's way against a plain loop.

    python -m inference_speed.time_folder films/ --model results/my_run
    python -m inference_speed.time_folder films/ --model results/my_run --runtime keras

The plain loop is cv2.imdecode, cv2.resize and model.predict, film after film. Both ways begin with
the model loaded and the films in the system's file cache, and take turns; it prints the median
times, and the ratio of each turn.
"""

import cv2
import numpy as np

from util.dicom import is_dicom_file
from util.errors import UserError, run_command
from util.finished_runs import load_run_model, read_run
from util.option_rules import RUNTIME_RULES, parse_effective
from util.options import add_evaluation_batch, add_runtime
from util.parser import new_parser, whole_number
from util.quiet import import_tensorflow
from util.tta import VIEWS, describe_views


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("folder", metavar="FOLDER", help="folder of films")
    parser.add_argument("--model", required=True, metavar="RUN", help="folder of a trained run")
    parser.add_argument(
        "--num_runs", type=whole_number(1), default=5, help="timed turns, after a warm-up"
    )
    parser.add_argument(
        "--tta_steps",
        type=whole_number(1, len(VIEWS)),
        help="views of a film; 1: the film alone (default: as in training)",
    )
    add_runtime(parser, auto=True)
    add_evaluation_batch(parser)
    return parse_effective(parser, RUNTIME_RULES, argv)


def main(argv=None):
    args = parse_args(argv)
    from inference_speed.turns import format_turns, take_turns
    from util.film_files import films_or_error
    from util.predicting.ensemble import open_ensemble

    run = read_run(args.model)
    paths = films_or_error(args.folder)
    check_kinds(paths)
    ensemble = open_ensemble([args.model], tta_steps=args.tta_steps)
    ensemble.load(args.runtime, args.precision, len(paths))
    import_tensorflow()
    model = load_run_model(run)
    check_readable(as_predict(ensemble, paths, args.batch_size_eval))
    ways = (
        lambda: plain_loop(model, paths, run.options["img_size"]),
        lambda: as_predict(ensemble, paths, args.batch_size_eval),
    )
    names = [
        "OpenCV and model.predict, one by one",
        f"predict.py, {ensemble.runtimes[0]}, {describe_views(ensemble.views)}",
    ]
    print(format_turns(names, take_turns(ways, args.num_runs), len(paths)))


def check_kinds(paths):
    """UserError when a film is DICOM, which OpenCV, and so the plain loop, does not read."""
    if dicom := [path for path in paths if is_dicom_file(path)]:
        raise UserError(
            f"the plain loop reads no DICOM ({dicom[0]}). Leave it out, or convert it to PNG."
        )


def check_readable(ages):
    """UserError when a film could not be predicted: the two ways would do different work."""
    for film in ages[ages["problem"].notna()].itertuples():
        raise UserError(f"not all films are readable ({film.path}). Remove it.")


def plain_loop(model, paths, size):
    """Return the months of films as a plain script predicts them, one by one, all as if male."""
    from util.predicting.prediction import inputs_of

    sex, months = np.ones((1, 1), np.float32), []
    for path in paths:
        film = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        film = cv2.resize(film, (size, size))
        image = film[None, ..., None].astype(np.float32)
        months.append(float(model.predict(inputs_of(model, image, sex), verbose=0)[0, 0]))
    return months


def as_predict(ensemble, paths, batch_size):
    """Return the frame of predict.py's --out for these films, all as if male, without writing
    it."""
    import pandas as pd

    from util.predicting.children import add_from_headers
    from util.predicting.film_ages import predict_in_chunks

    films = pd.DataFrame({"path": [str(path) for path in paths], "sex": 1.0, "age_months": np.nan})
    films = add_from_headers(films.assign(no_sex=""))
    return pd.concat(predict_in_chunks(ensemble, films, batch_size))


if __name__ == "__main__":
    run_command(main)
