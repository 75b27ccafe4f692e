"""Time how fast models predict, by backbone, batch size and route, into a CSV.

    python -m inference_speed.compute_inference_speed
    python -m inference_speed.compute_inference_speed --backbones mobilenet xception \\
        --batch_sizes 1 8 --img_size 224

Every case runs in a process of its own. Its rows are written when it ends, so that a benchmark
that is stopped keeps what it has; a case that fails is a row with its reason, and the exit code
is 1. The defaults take hours without a GPU.
"""

import platform
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from inference_speed.analyze_inference_results import BENCHMARK
from inference_speed.routes import DEFAULT_ROUTES, ROUTES
from util.backbones import MODEL_TYPES
from util.environment import processor_name
from util.errors import UserError, first_line, print_error, run_command
from util.files import quote, write_csv
from util.finished_runs import read_run
from util.option_rules import BENCHMARK_RULES, parse_effective
from util.options import SIDES, add_backbones
from util.parallel import cores, progress_bar
from util.parser import new_parser, whole_number
from util.processes import ProcessFailed, run_alone
from util.weights import NAMED_WEIGHTS, check_weights, weights_option

DEFAULT_SIZE = 500
# fmt: off
COLUMNS = [
    "backbone", "model_type", "route", "batch_size", "status",
    "mean_inference_time_s", "std_inference_time_s", "min_inference_time_s",
    "max_inference_time_s", "median_inference_time_s", "p95_inference_time_s",
    "time_per_image_s", "images_per_second", "time_per_image_ms", "times_as_fast_as_predict",
    "load_s", "first_call_s", "file_mb", "peak_memory_mb",
    "mean_off_months", "p99_off_months", "max_off_months",
    "total_params", "trainable_params", "non_trainable_params",
    "num_runs", "img_height", "img_width", "img_channels", "weights", "timestamp",
    "tensorflow_version", "keras_version", "processor", "gpu_info", "system_info",
]
# fmt: on


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--model", metavar="RUN", help="time the trained model of a run instead of new ones"
    )
    add_backbones(parser, "time")
    parser.add_argument(
        "--model_type", choices=MODEL_TYPES, default="sex", help="the model around the backbone"
    )
    parser.add_argument(
        "--routes",
        nargs="+",
        choices=ROUTES,
        default=DEFAULT_ROUTES,
        metavar="ROUTE",
        help="ways to call the model, in turn, of: " + ", ".join(ROUTES),
    )
    parser.add_argument(
        "--batch_sizes",
        nargs="+",
        type=whole_number(1),
        metavar="N",
        default=[1, 4, 8, 16, 32],
        help="films in a call",
    )
    parser.add_argument(
        "--num_runs",
        type=whole_number(1),
        default=10,
        help="timed calls of each route, after a warm-up",
    )
    add_canvas_side(parser)
    parser.add_argument(
        "--weights",
        type=weights_option,
        default="none",
        metavar="none|imagenet|FILE",
        help="weights of the backbone; they do not change the speed",
    )
    parser.add_argument("--results_dir", default="inference_results", help="folder of the CSV")
    args = parse_effective(parser, BENCHMARK_RULES, argv)
    for name in ("backbones", "routes", "batch_sizes"):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    args.img_size = canvas_side(args.img_size, args.img_height, args.img_width)
    check_backbone_weights(args.weights, args.backbones)
    return args


def add_canvas_side(parser):
    """Options for the side of the canvas, by its present and by its earlier names."""
    parser.add_argument(
        "--img_size",
        type=whole_number(*SIDES),
        help=f"side of the canvas, pixels (default: {DEFAULT_SIZE})",
    )
    for name in ("--img_height", "--img_width"):
        parser.add_argument(
            name, type=whole_number(*SIDES), help="instead of --img_size: give both, equal"
        )


def canvas_side(img_size, height, width):
    """Return the side of the canvas in pixels; UserError when the options contradict each other."""
    if (height, width) == (None, None):
        return img_size or DEFAULT_SIZE
    if height != width or img_size not in (None, height):
        given = {"--img_size": img_size, "--img_height": height, "--img_width": width}
        said = " ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        raise UserError(f"the models see a square canvas ({said}). Use --img_size N alone.")
    return height


def check_backbone_weights(weights, backbones):
    """UserError for a weights file that is missing, is a folder, or is given for more than one
    backbone."""
    if weights in NAMED_WEIGHTS:
        return
    check_weights(weights)
    if Path(weights).is_dir():
        raise UserError(f"that is a folder (--weights {weights}). Name a run with --model.")
    if len(backbones) > 1:
        raise UserError(
            f"weights are for one backbone (--weights {weights}). Name it with --backbones."
        )


def main(argv=None):
    args = parse_args(argv)
    if args.model:
        take_run(args)
    path = new_csv(args.results_dir)
    print(
        f"{args.model_type} models, films of {args.img_size} x {args.img_size} pixels, "
        f"{args.num_runs} runs a case\n\n{HEADER}",
        flush=True,
    )
    rows = run_benchmark(args, path)
    failed = sum(row["status"] != "ok" for row in rows)
    print(f"\n{len(rows) - failed} of {len(rows)} timed, {failed} failed: {path}")
    print(f"next: python -m inference_speed.analyze_inference_results --csv_file {quote(path)}")
    return 1 if failed else 0


def take_run(args):
    """Set the options that describe a model to those of the run of --model."""
    run = read_run(args.model)
    options = run.options
    args.backbones, args.weights = [options["backbone"]], str(run.folder)
    args.model_type, args.img_size = options["model_type"], options["img_size"]


def new_csv(results_dir):
    """Make an empty CSV named by the time, and return its path."""
    path = Path(results_dir) / f"{BENCHMARK}{datetime.now():%Y%m%d_%H%M%S_%f}.csv"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("x").close()
    except OSError as error:
        raise UserError(
            f"can't write: {first_line(error)} ({path}). Choose another --results_dir."
        ) from None
    return path


def run_benchmark(args, path):
    """Time all cases and return their rows. The CSV grows case by case; it is removed if the
    benchmark is stopped before it has a row."""
    rows, cases = [], len(args.backbones) * len(args.batch_sizes)
    try:
        import pandas as pd

        with progress_bar(total=cases, unit="case") as bar:
            for case_rows in time_cases(args, announce=bar.set_description):
                rows += case_rows
                # nullable types: a failed case must not turn counts into 1.0
                write_csv(path, pd.DataFrame(rows, columns=COLUMNS).convert_dtypes())
                with tqdm.external_write_mode():
                    print_rows(case_rows)
                bar.update(len(case_rows) // len(args.routes))
    except KeyboardInterrupt:
        if rows:
            print(f"\n{len(rows)} rows are kept: {path}")
        raise
    finally:
        if not rows:
            path.unlink()
    return rows


def time_cases(args, announce):
    """Yield the rows of each case, one row per route. If a backbone has no model, the rows of all
    its batch sizes come at once. `announce` is called with what comes next."""
    for backbone in args.backbones:
        sizes = args.batch_sizes
        while sizes:
            announce(f"{backbone}, batch {sizes[0]}")
            result = run_case(case_of(args, backbone, sizes[0]))
            done = sizes[:1] if result["try_other_sizes"] else sizes
            yield [
                new_row(args, backbone, size, route, columns)
                for size in done
                for route, columns in result["routes"].items()
            ]
            sizes = sizes[len(done) :]


def case_of(args, backbone, batch_size):
    shared = ("img_size", "model_type", "weights", "num_runs", "routes")
    case = {name: getattr(args, name) for name in shared}
    return case | {"run": args.model, "backbone": backbone, "batch_size": batch_size}


def run_case(case):
    """Run a case in a process of its own; returns what `timing.time_case` does.

    If the process ends without a result, all routes have failed; another size may fit into memory.
    """
    try:
        return run_alone("inference_speed/timing.py", **case)
    except ProcessFailed as error:
        failed = {route: {"status": str(error)} for route in case["routes"]}
        return {"try_other_sizes": True, "routes": failed}


def new_row(args, backbone, batch_size, route, columns):
    return {
        "backbone": backbone,
        "model_type": args.model_type,
        "route": route,
        "batch_size": batch_size,
        "num_runs": args.num_runs,
        "img_height": args.img_size,
        "img_width": args.img_size,
        "img_channels": 1,
        "weights": args.weights,
        "timestamp": datetime.now().isoformat(timespec="seconds"),
        "processor": processor_name(),
        "system_info": f"{platform.platform()}, {cores()} cores",
    } | columns


HEADER = (
    f"{'backbone':20s}  batch  {'route':14s}{'ms an image':>12s}{'95 % under':>12s}"
    f"{'x predict':>11s}{'load s':>8s}{'file MB':>9s}{'memory MB':>11s}{'months off':>12s}"
)


def print_rows(rows):
    """Print a line for each timed row, and one error line for those that failed alike."""
    import pandas as pd

    from inference_speed.comparison import describe_failures

    for row in [row for row in rows if row["status"] == "ok"]:
        n = row["batch_size"]
        median, p95 = row["median_inference_time_s"] / n, row["p95_inference_time_s"] / n
        ratio = row.get("times_as_fast_as_predict")
        print(
            f"{row['backbone']:20s}  {n:5d}  {row['route']:14s}{1000 * median:12.1f}"
            f"{1000 * p95:12.1f}{f'{ratio:.2f}' if ratio else '-':>11s}{row['load_s']:8.2f}"
            f"{row['file_mb']:9.1f}{row['peak_memory_mb']:11.0f}{row['max_off_months']:12.4f}",
            flush=True,
        )
    for line in describe_failures(pd.DataFrame(rows).query("status != 'ok'")):
        print_error(line)


if __name__ == "__main__":
    run_command(main)
