"""Does an exported model predict the same months as the Keras model? On which films, and how far
off?"""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from util.errors import UserError

N_FILMS = 128  # to check an export on, and to calibrate int8 on
BATCH = 16
SINGLE_FILMS = 4  # of them also predicted one by one, as an export must take any number
PHANTOM_SEED = 42
# how far an export may be off, in months; in reduced precision a few films may be further off
TOLERANCES = {"f32": {"max": 0.05}, "f16": {"mean": 0.25, "p99": 1.0}}
TOLERANCES["bf16"] = TOLERANCES["int8"] = TOLERANCES["f16"]


class Sample(NamedTuple):
    """Films `(n, S, S)` uint8, sex `(n,)`, and a title that says which films they are."""

    pixels: np.ndarray
    sex: np.ndarray
    title: str


def run_films(options, splits, n=N_FILMS):
    """Return a Sample of `n` films of a run's data folder, spread over the first of the `splits`
    that can be read; phantoms when none can. `options` are those of the run's config.json."""
    from preprocessing import read_films, read_labelled_folder
    from util.data_folder import split_paths

    for split in splits:
        try:
            places = split_paths(options["data_dir"], split)
            usable, left_out = read_labelled_folder(*places, options["male_value"])
            rows = np.unique(np.linspace(0, len(usable) - 1, n).round().astype(int))
            films = read_films(usable.iloc[rows], left_out, options["img_size"], options["fit"])
        except UserError:
            continue
        sex = films.table["sex"].to_numpy(np.float32)
        return Sample(
            films.pixels[np.arange(len(films))], sex, f"{len(films)} films of {places[0].name}"
        )
    return phantom_films(options["img_size"], splits[0], options["fit"], n=n)


def phantom_films(img_size, split, fit="hand", *, n):
    """Return a Sample of `n` phantoms, always the same."""
    from util.phantoms import phantom
    from util.radiographs import cut_to_hands, to_canvas

    drawn = [phantom(PHANTOM_SEED, split, number, height=img_size) for number in range(n)]
    films = [film for film, _, _ in drawn]
    if fit == "hand":
        films = [film for film, *_ in cut_to_hands([(film, film) for film in films])]
    pixels = np.stack([to_canvas(film, img_size, fit) for film in films])
    sex = np.array([sex for _, _, sex in drawn], np.float32)
    return Sample(pixels, sex, f"{n} phantoms")


def predict_sample(predict, sample):
    """Return the months of a sample's films, then those of its first films, predicted one by
    one."""
    from util.predicting.prediction import predict_months

    with whole_float32():
        together = predict_months(predict, sample.pixels, sample.sex, BATCH)
        alone = predict_months(predict, sample.pixels[:SINGLE_FILMS], sample.sex[:SINGLE_FILMS], 1)
    return np.concatenate([together, alone])


@contextmanager
def whole_float32():
    """Within the block a GPU multiplies whole float32 numbers, as exports do. By default NVIDIA's
    GPUs since Ampere round them to 10 bits (TF32), which may change months by more than is allowed
    to an export."""
    from tensorflow.config import experimental

    usual = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(usual)


def differences(months, expected):
    """Return how far months are from those expected: mean, 99th percentile and largest, in
    months."""
    off = np.abs(months - expected)
    return {
        "mean": float(off.mean()),
        "p99": float(np.percentile(off, 99)),
        "max": float(off.max()),
    }


def too_far(off, precision):
    """Return in words the differences that are above the tolerance, or NaN; "" if there are
    none."""
    return ", ".join(
        f"{name} difference {off[name]:.2f} months, allowed {most:g}"
        for name, most in TOLERANCES[precision].items()
        if not off[name] <= most
    )


def format_differences(off):
    return f"mean {off['mean']:.4f}, 99th percentile {off['p99']:.4f}, largest {off['max']:.4f}"
