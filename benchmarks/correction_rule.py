"""When is the linear correction of a run to be kept? Three rules on simulated films, and what each
changes in the error of new films (months; below zero: it helps).

    python -m benchmarks.correction_rule

Bone ages and errors are drawn like those of docs/RESULTS.md: ages of 127 (SD 41) months. Errors are
Student's t with 5 degrees of freedom, scaled to an SD of 9 months, plus one bias for all films.
"""

import numpy as np
import pandas as pd

from util.errors import run_command
from util.metrics import label_predictions
from util.parser import new_parser, whole_number
from util.predicting.calibration import correct_months, fit_calibration

RULES = {
    "always": lambda gain: True,
    "smaller cross-fitted error": lambda gain: gain["difference"] < 0,
    "its interval below zero": lambda gain: gain["difference_ci95"][1] < 0,
}


def main(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--repeats", type=whole_number(1), default=100, help="simulations of each row"
    )
    args = parser.parse_args(argv)
    print(f"{'films of a sex':>14s}{'bias':>6s}" + "".join(f"{rule:>29s}" for rule in RULES))
    for n in (20, 50, 150, 300, 600):
        for bias in (0, 1, 2, 4):
            results = [simulate(n, bias, seed) for seed in range(args.repeats)]
            changes, gains = zip(*results, strict=True)
            cells = (rule_cell(rule, changes, gains) for rule in RULES.values())
            print(f"{n:14d}{bias:6d}" + "".join(f"{cell:>29s}" for cell in cells), flush=True)


def simulate(n, bias, seed):
    """Return (change of the MAE of new films by lines fitted to n films of each sex, the gain that
    cross-fitting had estimated)."""
    rng = np.random.default_rng(seed)
    calibration, _ = fit_calibration(draw(2 * n, bias, rng), always=True)
    new = draw(10_000, bias, rng)
    months = correct_months(new["predicted"], new["sex"], calibration["lines"])
    corrected = label_predictions(new, months)
    change = corrected["error"].abs().mean() - new["error"].abs().mean()
    return change, calibration["gain"]


def draw(n, bias, rng):
    boneage = np.clip(rng.normal(127, 41, n), 3, 228)
    table = pd.DataFrame(
        {"id": np.arange(n).astype(str), "sex": np.arange(n) % 2, "boneage": boneage}
    )
    noise = 9 * rng.standard_t(5, n) / np.sqrt(5 / 3)
    return label_predictions(table, boneage + bias + noise)


def rule_cell(rule, changes, gains):
    kept = np.array([rule(gain) for gain in gains])
    return f"{np.mean(kept * np.array(changes)):+.2f} (kept {kept.mean():4.0%})"


if __name__ == "__main__":
    run_command(main)
