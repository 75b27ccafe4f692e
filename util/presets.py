"""Recipes for a budget of time: `--preset` sets these options, and typed options override them."""

from typing import NamedTuple


class Preset(NamedTuple):
    """The options of a recipe, and a title: its time and its error on 10,800 films
    (docs/RESULTS.md). The title says so if other films are meant, or if the recipe was not
    measured."""

    options: dict
    title: str


MOBILENET = {
    "backbone": "mobilenet",
    "fine_tune": True,
    "epochs_frozen": 1,
    "augment": "light",
}
CPU = {
    **MOBILENET,
    "img_size": 192,
    "epochs_finetune": 13,
    "lr_finetune": 1e-3,
    "use_tta": True,
}
DEMO = {
    **MOBILENET,
    "weights": "none",
    "img_size": 64,
    "batch_size": 16,
    "epochs_frozen": 0,
    "epochs_finetune": 4,
    "lr_finetune": 2e-3,
}
PRESETS = {
    "demo": Preset(DEMO, "two minutes on two cores, for synthetic hands (make_phantoms.py)"),
    "quick": Preset(
        {**MOBILENET, "img_size": 96, "epochs_finetune": 4, "lr_finetune": 1.2e-3},
        "10 to 15 minutes on two cores, 8.7 to 8.9 months",
    ),
    "cpu": Preset(CPU, "60 to 107 minutes on two cores, 7.0 months"),
    "best": Preset(
        {**CPU, "img_size": 256},
        "100 minutes to three hours on two cores (see README.md), 6.8 months",
    ),
    "gpu": Preset(
        {
            "backbone": "xception",
            "fine_tune": True,
            "epochs_frozen": 1,
            "img_size": 500,
            "batch_size": 16,
            "epochs_finetune": 25,
            "lr_finetune": 6e-4,
            "augment": "moderate",
            "mixed_precision": True,
            "use_tta": True,
        },
        "for a GPU of 16 GB and films of their original size, not measured",
    ),
}


def add_preset(parser, argv):
    """Offer --preset, and make the options of the chosen one the parser's defaults."""
    titles = "; ".join(f"{name}: {preset.title}" for name, preset in PRESETS.items())
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help=f"recipe that sets options; those you type override it ({titles})",
    )
    chosen = parser.parse_known_args(argv)[0].preset
    if chosen:
        parser.set_defaults(**PRESETS[chosen].options)
