"""How long a training would take, estimated from a few of its steps.

A sweep runs this before it starts, in a process of its own (util/processes.py), which leaves no
memory behind.
"""

import time
from argparse import Namespace

from preprocessing import steps_per_epoch
from util.errors import run_command
from util.phases import plan_phases
from util.processes import answer
from util.quiet import import_tensorflow
from util.splits import load_split
from util.weights import starts_from_run

UNTIMED_STEPS = 2  # the first compiles, the second waits for its batch
TIMED_STEPS = 3


def estimate(**options):
    """Return {"seconds": ...}, the time that a training with the parsed options of
    train_advanced.py would take."""
    args = Namespace(**options)
    import_tensorflow()
    from util.accelerators import make_strategy
    from util.build import build_from
    from util.training import batchnorm_mode

    # before the weights are replaced: it depends on them
    args.bn = batchnorm_mode(args, make_strategy(args).num_replicas_in_sync)
    if not starts_from_run(args.weights):
        args.weights = "none"  # otherwise they don't change the time
    films = load_split(args, "train")
    model = build_from(films, args)
    if args.feature_views:
        seconds = feature_seconds(model, films, args)
    else:
        seconds = sum(phase_seconds(model, films, phase, args) for phase in plan_phases(args))
    return {"seconds": round(seconds, 1)}


def phase_seconds(model, films, phase, args):
    """Return the seconds that all epochs of a phase take, without validation."""
    from keras.callbacks import LambdaCallback

    from util.training import fit_steps

    steps = steps_per_epoch(films, args.batch_size) * (phase.end - phase.start)
    ends = []
    clock = LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
    timed = UNTIMED_STEPS + TIMED_STEPS
    fit_steps(timed, model, phase, phase.lr, films, args, clock, phase_steps=steps)
    return (ends[-1] - ends[UNTIMED_STEPS - 1]) / TIMED_STEPS * steps


def feature_seconds(model, films, args):
    """Return the seconds that the features of all views of the training films take; the epochs of a
    head are short in comparison."""
    from util.features import compute_features, feature_reader, training_views

    read, n = feature_reader(model), len(films)
    few = films.pixels.keep(range(min(n, TIMED_STEPS * args.batch_size_eval)))
    views = training_views(few, args)
    compute_features(read, views[0], args.batch_size_eval)  # compiles
    started = time.perf_counter()
    compute_features(read, views[0], args.batch_size_eval)
    return (time.perf_counter() - started) / len(views[0]) * n * len(views)


if __name__ == "__main__":
    run_command(lambda: answer(estimate))
