"""The range test of the learning rate, `--find_lr`: from options to suggested rates."""

from contextlib import closing

from util.errors import UserError
from util.experiment import callers_state_kept, prepare_films
from util.phases import plan_phases
from util.run_folder import open_run


@callers_state_kept()
def find_learning_rates(args):
    """Run the range test of the learning rate in place of a training, and report what it found."""
    with closing(open_run(args, f"find_lr_{args.model_type}_{args.backbone}")) as run:
        find_rates(run, args)


def find_rates(run, args):
    """Fill the folder of a range test, and log the rates to train with. If the test fails or is
    stopped, its folder is removed. Raises UserError if the loss falls at no rate."""
    try:
        films = prepare_films(run, args)["train"]
        from util import plots
        from util.build import new_model
        from util.lr_range import falling_range, range_test

        table = range_test(new_model(films, args, run), films, args, run)
    except BaseException:
        run.discard()
        raise
    falling = falling_range(table)
    plot = plots.plot_lr_range(table, falling, run.path("plots", "lr_range.png"))
    if not falling:
        raise UserError(
            f"in {len(table)} steps no learning rate lowers the loss by more than its noise "
            f"({plot}). Raise --batch_size, start from pretrained --weights, or check the labels."
        )
    low, high = falling
    phase = plan_phases(args)[-1].name
    run.log(f"{phase}: the loss falls at learning rates from {low:.1e} to {high:.1e} ({plot})")
    if args.fine_tune and args.epochs_frozen:
        run.log("note: the frozen phase was not tested; below, it gets the same rates")
    feet = {"--lr": args.epochs_frozen, "--lr_finetune": args.fine_tune}
    rates = " ".join(f"{option} {low:.1e}" for option, trains in feet.items() if trains)
    name = ", choose another --run_name" if args.run_name else ""
    run.log(
        f"next: leave out --find_lr{name}, add {rates} --use_cyclical_lr --clr_max_lr {high:.1e}"
    )
    if args.show:
        plots.show_plots([plot])
