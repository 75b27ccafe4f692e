"""Training that goes on from the model of a trained run: `--weights RUN`."""

from pathlib import Path
from typing import NamedTuple

from util.errors import UserError
from util.runs import add_to_config, load_run_model, read_run

SAME = ("model_type", "backbone", "activation", "dense_units", "gender_units")


class Start(NamedTuple):
    """All weights of a trained model, and what maps its output to months."""

    weights: list
    label_mean: float
    label_sd: float


def from_run(args):
    """Whether --weights names a folder; a file holds weights of a backbone."""
    return args.weights not in ("imagenet", "none") and Path(args.weights).is_dir()


def read_start(args):
    """The Start that --weights names; None when that is no folder. UserError when the options ask
    for another model than the one in the run."""
    if not from_run(args):
        return None
    run, config = read_run(args.weights)
    trained, now = config["options"], vars(args)
    for name in SAME:
        if trained.get(name) != now.get(name):
            raise UserError(
                f"the run to start from has another model (--weights {args.weights}). "
                f"Add --{name} {trained.get(name)}."
            )
    model = load_run_model(run)
    months = model.get_layer("months")
    return Start(model.get_weights(), months.offset, months.scale)


def note_start(run, args):
    """Say which run this one starts from, if any, and keep its config.json in that of this one."""
    if not from_run(args):
        return
    _, start = read_run(args.weights)
    run.log(f"starts from {args.weights}")
    if start["data"]["train"] != run.read_json("config.json")["data"]["train"]:
        run.log(
            "note: that was trained on other films. Where some of them are among the validation or "
            "test films of this run, its errors come out too small"
        )
    add_to_config(run, {"start": start})
