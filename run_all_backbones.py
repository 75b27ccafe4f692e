"""Train one backbone after the other by train_advanced.py, and compare them.

    python run_all_backbones.py
    python run_all_backbones.py --backbones mobilenet resnet50 convnext_tiny --img_size 224
    python run_all_backbones.py --dry_run --epochs_frozen 20 --weights "weights/{backbone}.h5"

The options of train_advanced.py are passed on, except --backbone, --run_name, --resume, --folds
and --show; {backbone} in them stands for the name. Each run is a process of its own, in
backbone_results/<sweep>/<backbone>/; one that fails does not end the sweep, and the same command
resumes a stopped sweep; other options need another --sweep. A table, summary.csv,
<backbone>_performance.json and backbones.png compare errors in months, speed and parameters. The
exit code is 1 when a run failed. Without --fine_tune heads of sex and baseline models are trained
on features of 3 views (--feature_views): util/README.md.

On several machines or GPUs, by Ray or as an array of SLURM jobs (docs/SCALE.md):

    python run_all_backbones.py --fine_tune --ray
    python run_all_backbones.py --fine_tune --shard $SLURM_ARRAY_TASK_ID/4  # in sbatch --array=1-4
    python run_all_backbones.py --summarise    # add --sweep or --model_type if it had one
"""

import argparse
from pathlib import Path

from train_advanced import parse_args as parse_training
from util.errors import UserError, run_command
from util.finished_runs import holds_run
from util.option_rules import typed_options
from util.options import add_backbones
from util.parser import new_parser, whole_number

CHOSEN = "chosen by the sweep: use --backbones and --sweep"
NOT_IN_A_SWEEP = {
    "--backbone": CHOSEN,
    "--run_name": CHOSEN,
    "--resume": "not needed: the same command resumes a stopped sweep",
    "--show": "not for a sweep, which would wait for you: open the pictures in the folders",
    "--folds": "not for a sweep, which trains one run a backbone: use train_advanced.py",
}


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_backbones(parser, "train")
    parser.add_argument("--sweep", help="name of the folder (default: the model type)")
    parser.add_argument("--results_dir", default="backbone_results", help="folder of all sweeps")
    parser.add_argument("--dry_run", action="store_true", help="say what would run, and how long")
    parser.add_argument(
        "--no_estimate", action="store_true", help="don't measure first how long it will take"
    )
    add_machines(parser)
    args, passed_on = parser.parse_known_args(argv)
    for word in passed_on:
        if (option := word.split("=")[0]) in NOT_IN_A_SWEEP:
            parser.error(f"{option} is {NOT_IN_A_SWEEP[option]}")
    if args.gpus_per_run is not None and args.ray is None:
        parser.error("--gpus_per_run has no effect without --ray")
    typed = typed_options(parser, argv, ("backbones", "dry_run", "no_estimate"))
    idle = [f"--{name}" for name in sorted(typed)]
    idle += [word for word in passed_on if word[:2] == "--" and not word.startswith("--model_type")]
    if args.summarise and idle:
        parser.error(f"{idle[0]} has no effect with --summarise")
    return args, passed_on


def add_machines(parser):
    group = parser.add_argument_group("several machines or GPUs")
    several = group.add_mutually_exclusive_group()
    several.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="train runs at the same time, as tasks of a Ray cluster (without ADDRESS: of this "
        "machine)",
    )
    several.add_argument(
        "--shard", type=shard, metavar="I/N", help="train only share I of N, for job arrays"
    )
    several.add_argument(
        "--summarise", action="store_true", help="train nothing, make the table of what is done"
    )
    group.add_argument(
        "--gpus_per_run",
        type=whole_number(0),
        help="GPUs of each run under --ray (default: 1 if there are any)",
    )


def shard(text):
    """Return the numbers of a share: "2/4" becomes (2, 4)."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is not a share like 1/4, the first of four")
    return int(part), int(parts)


def main(argv=None):
    args, passed_on = parse_args(argv)
    from util.sweeping import ray_sweep, sweep, sweep_table

    training = parse_training(sweep.options_of(args.backbones[0], passed_on))
    folder = Path(args.results_dir) / (args.sweep or training.model_type)
    if holds_run(folder):
        raise UserError(
            f"that is a run, or its folds, not the folder of a sweep ({folder}). "
            "Name another --sweep."
        )
    if args.summarise:
        runs = sweep.known_runs(folder, training)
        return sweep_table.report_results(folder, runs, runs)
    options = sweep.add_feature_views(passed_on, training)
    runs = sweep.plan_runs(folder, args.backbones, options)
    if args.ray is not None:
        ray_sweep.check_ray(args.gpus_per_run, training.strategy)
    mine = sweep.share_of(runs, *args.shard) if args.shard else runs
    sweep.check_films_exist(mine)
    sweep_table.read_summary(folder)  # fails now if the table is damaged, not after a run
    sweep.report_plan(mine)
    if not args.no_estimate:
        sweep.report_estimate(mine)
    if args.dry_run:
        return 0
    if args.ray is not None:
        ended = ray_sweep.train_on_ray(mine, args.ray, args.gpus_per_run)
    else:
        ended = (sweep.train_in_process(run) for run in mine)
    for _ in ended:
        sweep_table.write_summary(folder, runs)
    return sweep_table.report_results(folder, runs, mine)


if __name__ == "__main__":
    run_command(main)
