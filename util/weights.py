"""What `--weights` may name: weights known by name, a file of backbone weights, or the folder of a
run."""

from pathlib import Path

from util.errors import UserError

NAMED_WEIGHTS = ("imagenet", "none")


def weights_option(text):
    """Return the value of --weights; "None" means "none", as in earlier versions."""
    return "none" if text == "None" else text


def starts_from_run(weights):
    """Whether --weights names a folder; a file holds weights of a backbone."""
    return weights not in NAMED_WEIGHTS and Path(weights).is_dir()


def check_weights(weights):
    """UserError unless --weights is "imagenet", "none", or a file or folder that exists."""
    if weights not in NAMED_WEIGHTS and not Path(weights).exists():
        raise UserError(f"no such weights file (--weights {weights}). Check the path.")
