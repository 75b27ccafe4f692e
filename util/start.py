"""Training that starts from the model of a trained run: `--weights RUN`."""

from typing import NamedTuple

from util.backbones import sees_sex
from util.errors import UserError
from util.files import hash_file
from util.finished_runs import load_run_model, read_run
from util.held_out import learned_from, started_from_unknown_films
from util.runs import MODEL, add_to_config, changed_facts
from util.split_records import hand_crop_changed
from util.training_options import MODEL_OPTIONS, WITHOUT_WEIGHTS, training_defaults
from util.weights import NAMED_WEIGHTS, check_weights, starts_from_run

# share of films that may match by chance: where two hospitals count ids from 1, some 3 % of films
# agree in id, sex and age
CHANCE_OVERLAP = 0.1


class Start(NamedTuple):
    """All weights of a trained model, and what maps its output to months."""

    weights: list
    label_mean: float
    label_sd: float


def check_weights_run(args):
    """UserError when --weights doesn't exist, or is a run whose model differs from that of the
    options. An option that the run's version didn't have counts as its default."""
    check_weights(args.weights)
    if not starts_from_run(args.weights):
        return
    trained, now = training_defaults() | read_run(args.weights).options, vars(args)
    if trained["model_type"] != now["model_type"]:
        raise UserError(
            f"the run to start from is of another type, {trained['model_type']} "
            f"(--weights {args.weights}). Use that type: train_advanced.py --model_type."
        )
    free = {*WITHOUT_WEIGHTS} | (set() if sees_sex(now["model_type"]) else {"gender_units"})
    for name in ("backbone", *MODEL_OPTIONS):
        if name not in free and trained[name] != now[name]:
            raise UserError(
                f"the run to start from has another model (--weights {args.weights}). "
                f"Add --{name} {trained[name]}."
            )


def read_start(args):
    """Return the Start that --weights names; None when it is no folder. UserError as from
    `check_weights_run`."""
    check_weights_run(args)
    if not starts_from_run(args.weights):
        return None
    model = load_run_model(read_run(args.weights))
    months = model.get_layer("months")
    return Start(model.get_weights(), months.offset, months.scale)


def check_start_films(splits, args, run):
    """UserError when the run to start from was trained on validation or test films of this run, or
    on other films of the same children: errors on films that the model knows would be too small.

    A few matches, which may be chance as ids of two hospitals can agree, are only noted in the log.
    So are test films that were validation films of the run to start from, or of one before it.
    """
    if not starts_from_run(args.weights):
        return
    start = read_run(args.weights)
    config = start.config
    for split in ("val", "test"):
        table = splits[split].table
        known = learned_from(start, config, "train", table).sum()
        told = f"the run to start from was trained on {known} of {len(table)} {split} films"
        if known > max(1, CHANCE_OVERLAP * len(table)):
            raise UserError(
                f"{told}, or on their children (--weights {args.weights}). "
                "Start from another, or keep its split: the errors would be too small."
            )
        if known:
            run.log(f"note: {told}, by their ids, sexes and ages, which may be chance")
    if chosen := learned_from(start, config, "val", splits["test"].table).sum():
        run.log(
            f"note: {chosen} of {len(splits['test'])} test films were validation films of the run to "
            "start from, or of one before it, and helped choose its epoch: test errors may be a "
            "little too small"
        )


def other_films_notes(start, args):
    """Return notes, a list, on how the run to start from saw films differently (canvas, hand crop):
    the first epochs of this run then adapt to the difference."""
    before, now = (f"{s['img_size']} pixels, --fit {s['fit']}" for s in (start.options, vars(args)))
    notes = []
    if before != now:
        notes.append(f"the run to start from saw films of {before}; this one has {now}")
    if args.fit == "hand" and hand_crop_changed(start.config):
        notes.append("hand_crop/ changed since the run to start from was trained")
    return notes


def record_start(run, args):
    """Record in config.json which weights this run starts from; if they are a run's, log that and
    record its config.json as well. UserError when they have changed since this run was started."""
    if args.weights in NAMED_WEIGHTS:
        return
    start = read_run(args.weights) if starts_from_run(args.weights) else None
    facts = {"weights_sha256": hash_file(start.path(MODEL) if start else args.weights)}
    if changed_facts(facts, run.config):
        raise UserError(
            f"the weights to start from have changed since ({args.weights}). Restore the old ones, "
            "or start a new run."
        )
    if start:  # on resuming as it was then: it may have been resumed as well
        facts["start"] = run.config.get("start", start.config)
    add_to_config(run, facts)
    if not start:
        return
    run.log(f"starts from {args.weights}")
    for note in other_films_notes(start, args):
        run.log(f"note: {note}")
    if started_from_unknown_films(run, run.config):
        run.log(
            "note: it, or a run before it, was trained on other films, of which there is no list. If some "
            "of them are among the validation or test films of this run, its errors come out too small"
        )
