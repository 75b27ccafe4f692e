"""The phases of a training that the options ask for."""

from dataclasses import dataclass

from util.errors import UserError

CLR_MODES = ("triangular", "triangular2", "exp_range")  # of cycles of the learning rate


@dataclass(frozen=True)
class Phase:
    """The epochs `range(start, end)` of a run, which share one schedule of the learning rate. `lr`
    is its peak, or the base of its cycles."""

    name: str
    start: int
    end: int
    lr: float


def plan_phases(args):
    """Return the phases that the options ask for; UserError when there is none, or when the cycles
    of the learning rate would not rise in one of them."""
    end = args.epochs_frozen + args.epochs_finetune
    phases = [Phase("frozen", 0, args.epochs_frozen, args.lr)] if args.epochs_frozen else []
    if args.fine_tune:
        phases += [Phase("finetune", args.epochs_frozen, end, args.lr_finetune)]
    if not phases:
        raise UserError("nothing to train (--epochs_frozen 0). Raise it or add --fine_tune.")
    if args.clr_max_lr:
        for phase in phases:
            check_rise(phase.lr, args.clr_max_lr)
    return phases


def check_rise(base_lr, max_lr):
    """UserError when a cycle of the learning rate would not rise from its foot to its top."""
    if max_lr <= base_lr:
        raise UserError(
            f"a cycle must rise: --clr_max_lr {max_lr:g} is not above the learning rate of the "
            f"phase, {base_lr:g}. Raise it, or lower --lr and --lr_finetune."
        )
