"""The phases of a training, by the options."""

from dataclasses import dataclass

from util.errors import UserError
from util.weights import starts_from_run

CLR_MODES = ("triangular", "triangular2", "exp_range")  # of cycles of the learning rate


@dataclass(frozen=True)
class Phase:
    """The epochs `range(start, end)` of a run, on films of `img_size` pixels.

    The learning rate, at most `lr`, has one schedule over `range(schedule_start, schedule_end)`:
    that of fine-tuning goes on from small films to large ones. The first layers of the backbone, a
    share `held` of them, stay as earlier films left them.
    """

    name: str
    start: int
    end: int
    img_size: int
    lr: float
    schedule_start: int
    schedule_end: int
    held: float = 0


def plan_phases(args):
    """The phases that the options ask for; UserError when there is none, or one can't have its
    cycles of the learning rate.

    Under --epochs_small the first of them see small films, which takes a fraction of the time
    ("progressive resizing", as in Tan & Le 2021, 'EfficientNetV2').
    """
    small_first = args.fine_tune and args.epochs_small
    first_size = args.img_size_small if small_first else args.img_size
    if first_size > args.img_size:
        raise UserError(
            f"small films of {first_size} pixels are larger than the others ({args.img_size}). "
            "Lower --img_size_small."
        )
    small_start = args.epochs_frozen
    full_start = small_start + args.epochs_small
    end = full_start + args.epochs_finetune
    head, fine = (0, small_start), (small_start, end)  # schedules of the learning rate
    held = args.hold_layers if can_hold_layers(args) else 0
    phases = [Phase("frozen", 0, small_start, first_size, args.lr, *head)]
    if args.fine_tune:
        phases += [
            Phase("small", small_start, full_start, first_size, args.lr_finetune, *fine),
            Phase("finetune", full_start, end, args.img_size, args.lr_finetune, *fine, held),
        ]
    phases = [phase for phase in phases if phase.end > phase.start]
    if not phases:
        raise UserError("nothing to train (--epochs_frozen 0). Raise it or add --fine_tune.")
    if args.clr_max_lr:
        for phase in phases:
            check_rise(phase.lr, args.clr_max_lr)
    return phases


def can_hold_layers(args):
    """Whether --hold_layers has layers to hold: the backbone trained on films before those of full
    size, on small ones or in the run that it starts from."""
    return bool(args.epochs_small or starts_from_run(args))


def check_rise(base_lr, max_lr):
    """UserError when a cycle of the learning rate has its top below its foot."""
    if max_lr <= base_lr:
        raise UserError(
            f"a cycle must rise: --clr_max_lr {max_lr:g} is not above the learning rate of the "
            f"phase, {base_lr:g}. Raise it, or lower --lr and --lr_finetune."
        )
