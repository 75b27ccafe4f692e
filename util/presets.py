"""Recipes that were measured to their end: `--preset` sets these options, any typed one overrides."""

from typing import NamedTuple


class Preset(NamedTuple):
    """The options of a recipe, and what it takes and reaches (docs/RESULTS.md)."""

    options: dict
    title: str


MOBILENET = {
    "backbone": "mobilenet",
    "fine_tune": True,
    "epochs_frozen": 1,
    "lr_finetune": 6e-4,
    "augment": "light",
}
PRESETS = {
    "quick": Preset(
        {**MOBILENET, "img_size": 96, "epochs_finetune": 4},
        "10 minutes for 10,800 films on two cores, 10 months",
    ),
    "cpu": Preset(
        {
            **MOBILENET,
            "img_size": 192,
            "epochs_small": 6,
            "epochs_finetune": 8,
            "use_tta": True,
            "tta_steps": 2,
        },
        "90 minutes, 7.6 months",
    ),
}


def add_preset(parser, argv=None):
    """Offer --preset, and make the options of the chosen one the parser's defaults."""
    titles = "; ".join(f"{name}: {preset.title}" for name, preset in PRESETS.items())
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help=f"recipe that sets the options below it; typed ones override ({titles})",
    )
    chosen = parser.parse_known_args(argv)[0].preset
    if chosen:
        parser.set_defaults(**PRESETS[chosen].options)
