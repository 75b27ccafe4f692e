"""How many films a second a training takes, all layers training: this toolkit, the same on one batch
over and over (what reading and augmenting cost is the difference), and a textbook Keras script with
the same backbone, batch and canvas.

    python -m benchmarks.training_speed
    python -m benchmarks.training_speed --backbone mobilenet_v2 --img_size 192 --batch_size 32
"""

import tempfile
from pathlib import Path

from benchmarks.films import add_film_options, films_to_time, read_aged
from benchmarks.input_speed import keras_generator
from util.backbones import BACKBONES
from util.errors import run_command
from util.options import count, new_parser
from util.quiet import import_tensorflow
from util.turns import format_turns, take_turns


def main():
    parser = new_parser(__doc__)
    add_film_options(parser, img_size=256)
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="mobilenet")
    parser.add_argument("--batch_size", type=count(1), default=16)
    parser.add_argument(
        "--steps", type=count(1), default=15, help="steps in a turn, an epoch at most"
    )
    args = parser.parse_args()
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(path) for path in films_to_time(args, Path(folder) / "films")[1]]
        films = read_aged(paths, args.img_size, Path(folder) / "cache")
        # the textbook's generator ends with its films, and a turn of it would be cut short
        args.steps = min(args.steps, len(films) // args.batch_size)
        names = ["textbook script", "this toolkit", "... on one batch"]
        ways = [textbook(films, args), *ours(films, args)]
        seconds = take_turns(ways, args.turns)
        print(format_turns(names, seconds, args.steps * args.batch_size, "films"))


def textbook(films, args):
    """A turn of a script as in tutorials: ImageDataGenerator, `compile` and `fit`."""
    import keras
    from keras import layers

    backbone = getattr(keras.applications, BACKBONES[args.backbone].builder)(
        include_top=False, weights=None, input_shape=(args.img_size, args.img_size, 3)
    )
    x = layers.GlobalAveragePooling2D()(backbone.output)
    x = layers.Dropout(0.3)(layers.Dense(500, "relu")(x))
    model = keras.Model(backbone.input, layers.Dense(1)(x))
    model.compile("adam", "mae")
    generator = keras_generator(films.table, args.img_size, args.batch_size, "rgb")
    return lambda: model.fit(generator, steps_per_epoch=args.steps, verbose=0)


def ours(films, args):
    """The same by this toolkit, on all films and on one batch over and over."""
    from train_advanced import parse_args
    from util.experiment import build_from
    from util.phases import plan_phases
    from util.training import choose_trainable, compile_model, training_batches

    words = f"--backbone {args.backbone} --weights none --img_size {args.img_size} --fine_tune"
    options = parse_args([*words.split(), "--batch_size", str(args.batch_size)])
    phase = plan_phases(options)[-1]
    model = build_from(films, options)
    choose_trainable(model, phase, options)
    compile_model(model, phase.lr, args.steps, films, options)

    def on_all():  # batches are made within the turn, none ahead of it
        batches = training_batches(model, films, options, 0, args.steps)
        model.fit(batches.take(args.steps), shuffle=False, verbose=0)

    def on_one():
        batch = training_batches(model, films, options, 0, 1).take(1)
        model.fit(batch.cache().repeat(args.steps), shuffle=False, verbose=0)

    return [on_all, on_one]


if __name__ == "__main__":
    run_command(main)
