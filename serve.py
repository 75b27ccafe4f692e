"""A page in the browser: drop films on it and read their bone age, as predict.py says it.

    python serve.py                                       # the model that ships
    python serve.py --model results/my_run --port 8080

The page is served to this computer alone, and keeps no film. End it with Ctrl-C.
Research use only: not a medical device.
"""

from util.errors import run_command
from util.finished_runs import model_warning, print_model_notes
from util.option_rules import RUN_RULES, parse_effective
from util.options import add_calibration, add_models, add_runtime, add_views
from util.parser import new_parser, whole_number
from util.runs import SHIPPED


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_models(parser)
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        help="port of the page on this computer; 0: any free one",
    )
    parser.add_argument("--show", action="store_true", help="also open the page in the browser")
    add_calibration(parser)
    add_views(parser)
    add_runtime(parser, auto=True)
    args = parse_effective(parser, RUN_RULES, argv)
    args.model = args.model or [str(SHIPPED)]
    return args


def main(argv=None):
    args = parse_args(argv)
    from util.predicting.ensemble import open_ensemble
    from util.predicting.web import PageServer

    ensemble = open_ensemble(args.model, args.use_tta, args.tta_steps, args.calibration)
    notes = [model_warning(args.model), *ensemble.notes]
    with PageServer(ensemble, notes, args.port) as server:
        print_model_notes(args.model, ensemble.notes)
        ensemble.load(args.runtime, args.precision)
        server.serve(args.show)


if __name__ == "__main__":
    run_command(main)
