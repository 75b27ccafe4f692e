"""How far do months move when films are not as a model knows them? Each film of a labelled folder
is changed before it is read, as a hospital, a scanner or a mistake would, and predicted again.

    python -m benchmarks.stress RUN --csv labels.csv --images films/

Prints, for each change: MAE, and its difference to plain films, with paired 95 % intervals; the
mean by which months move to either side; and the shares of films on which no hand was found for
certain, and that look inverted or turned to predict.py.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from preprocessing import read_labelled_folder
from util.bootstrap import mean_interval
from util.errors import UserError, run_command
from util.metrics import compare_predictions, label_predictions
from util.metrics_text import format_interval
from util.options import add_evaluation_batch, add_male_value, add_seed, add_views
from util.parallel import map_films
from util.parser import new_parser, whole_number
from util.predicting.canvases import oddities_of, read_on_canvases
from util.predicting.ensemble import open_ensemble
from util.radiographs import RadiographError, border_level, read_or_error, read_radiograph
from util.tables.left_out import report_left_out
from util.tta import describe_views


def turn(image, degrees):
    """Return the film turned about its middle, nothing cut off, on a ground of its border's grey
    level."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    cos, sin = np.abs(matrix[0, :2])
    size = int(np.ceil(height * sin + width * cos)), int(np.ceil(height * cos + width * sin))
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    return cv2.warpAffine(image, matrix, size, borderValue=border_level(image))


def scale(image, across, down):
    height, width = image.shape
    size = max(1, round(width * across)), max(1, round(height * down))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def gamma(image, power):
    levels = 255 * (np.arange(256) / 255) ** power
    return cv2.LUT(image, levels.round().astype(np.uint8))


def frame(image, level, share):
    """Return the film in a frame of a grey level, as wide as a share of its longer side."""
    width = round(share * max(image.shape))
    return cv2.copyMakeBorder(image, *4 * [width], cv2.BORDER_CONSTANT, value=level)


def blur(image, share):
    return cv2.GaussianBlur(image, None, share * max(image.shape))


def noise(image, sd):
    grains = np.random.default_rng(image.size).normal(0, sd, image.shape)
    return np.clip(image + grains, 0, 255).round().astype(np.uint8)


def compress(image, quality):
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def mark(image):
    """Return the film with a white plate with a letter in its lower right corner."""
    height, width = image.shape
    side = min(image.shape) // 6
    plate = np.full((side, side), 235, np.uint8)
    cv2.putText(plate, "R", (side // 5, side * 4 // 5), 0, side / 30, 20, max(1, side // 12))
    image = image.copy()
    image[height - side :, width - side :] = plate
    return image


CHANGES = {  # of a film uint8 (H, W), 0-255
    "plain": lambda image: image,
    "turned by 10 degrees": partial(turn, degrees=10),
    "turned by 30 degrees": partial(turn, degrees=30),
    "turned by 90 degrees": partial(turn, degrees=90),
    "upside down": partial(turn, degrees=180),
    "mirrored, as a right hand": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "squeezed to 85 % across": partial(scale, across=0.85, down=1),
    "at half the resolution": partial(scale, across=0.5, down=0.5),
    "darker (gamma 1.5)": partial(gamma, power=1.5),
    "lighter (gamma 0.67)": partial(gamma, power=0.67),
    "blurred (SD 0.4 %)": partial(blur, share=0.004),
    "grainy (SD 10 of 255)": partial(noise, sd=10),
    "JPEG of quality 20": partial(compress, quality=20),
    "in a black frame of 15 %": partial(frame, level=0, share=0.15),
    "in a white frame of 5 %": partial(frame, level=255, share=0.05),
    "with a second marker": mark,
    "inverted": lambda image: 255 - image,
}


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="folder of a trained run")
    parser.add_argument(
        "--csv", required=True, metavar="FILE", help="id, sex, boneage of the films"
    )
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of the films")
    parser.add_argument("--films", type=whole_number(2), help="how many, at random (default: all)")
    add_seed(parser)
    add_male_value(parser)
    add_views(parser)
    add_evaluation_batch(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    ensemble = open_ensemble([args.run], args.use_tta, args.tta_steps)
    films, left_out = read_labelled_folder(args.csv, args.images, args.male_value, headers=True)
    readable = [not isinstance(read_or_error(path), RadiographError) for path in films["path"]]
    report_left_out(left_out)
    if not all(readable):
        print(f"unreadable: {readable.count(False)}")
    films = films[readable].reset_index(drop=True)
    if films.empty:
        raise UserError(f"no film can be read (--images {args.images}). Name others.")
    if args.films:
        films = films.sample(min(args.films, len(films)), random_state=args.seed, ignore_index=True)
    ensemble.load()
    print(f"{args.run}, {len(films)} films, {describe_views(ensemble.views)}, months")
    print(f"  {'':27s}{'MAE':>6s}   {'difference':27s}{'moved by':>20s}{'whole':>9s}{'noted':>8s}")
    plain = None
    for name, change in CHANGES.items():
        predictions, whole, noted = predict_changed(ensemble, films, change, args.batch_size_eval)
        plain = predictions if plain is None else plain
        print(format_change(name, predictions, plain, whole, noted), flush=True)


def predict_changed(ensemble, films, change, batch_size):
    """Return the predictions of labelled films after a change, and two masks `(n,)`: of films that
    were taken whole, and of films that look inverted or turned."""
    with TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{number}.png") for number in range(len(films))]

        def write(pair):
            source, target = pair
            if not cv2.imwrite(target, change(read_radiograph(source))):
                raise UserError(f"can't write to the temporary folder ({folder}). Make room.")

        map_films(write, list(zip(films["path"], paths, strict=True)))
        pixels, failures = read_on_canvases(ensemble.canvases, paths)
    if failures:
        raise UserError(f"a changed film can't be read: {next(iter(failures.values()))}.")
    months = ensemble.predict(pixels, films["sex"].to_numpy(), batch_size)["months"]
    oddities = oddities_of(pixels)
    return (
        label_predictions(films, months),
        oddities.whole,
        oddities.inverted | (oddities.turned > 0),
    )


def format_change(name, predictions, plain, whole, noted):
    """One line of the table."""
    line = f"  {name:27s}{predictions['error'].abs().mean():6.2f}   "
    if predictions is plain:
        told = f"{'':47s}"
    else:
        comparison = compare_predictions(predictions, plain)
        moved = predictions["predicted"] - plain["predicted"]
        interval = mean_interval(moved, plain)
        difference = format_interval(comparison["difference_ci95"], sign="+")
        told = f"{comparison['difference']:+6.2f} {difference:20s}"
        told += f"{moved.mean():+6.2f} {format_interval(interval, sign='+')}".rjust(20)
    return f"{line}{told}{whole.mean():9.0%}{noted.mean():8.0%}"


if __name__ == "__main__":
    run_command(main)
