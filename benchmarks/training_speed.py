"""How many films a second a training takes, all layers training: this toolkit on all films, on one
batch over and over (what reading and augmenting cost is the difference), and a textbook Keras
script with the same backbone, batch and canvas, in a process of its own.

    python -m benchmarks.training_speed
    python -m benchmarks.training_speed --backbone mobilenet_v2 --img_size 192 --batch_size 32
"""

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from benchmarks import textbook
from benchmarks.films import add_backbone, add_film_options, add_turns, films_for_keras, read_aged
from inference_speed.turns import format_turns, take_turns
from util import AS_STARTED
from util.backbones import BACKBONES
from util.errors import UserError, run_command
from util.parser import new_parser, whole_number
from util.quiet import import_tensorflow


def main(argv=None):
    parser = new_parser(__doc__)
    add_film_options(parser, img_size=256)
    add_turns(parser)
    add_backbone(parser)
    parser.add_argument(
        "--batch_size", type=whole_number(1), default=16, help="films in a training step"
    )
    parser.add_argument(
        "--steps", type=whole_number(1), default=15, help="steps in a turn, an epoch at most"
    )
    args = parser.parse_args(argv)
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        paths = films_for_keras(args, Path(folder) / "films", args.batch_size)
        films = read_aged(paths, args.img_size, Path(folder) / "cache")
        # the textbook's generator ends after all films, which would cut its turn short
        args.steps = min(args.steps, len(films) // args.batch_size)
        n = args.steps * args.batch_size
        on_all, on_one = ours(films, args)
        with textbook_turns(films.table, args) as by_textbook:
            seconds = take_turns([on_one, on_all, by_textbook], args.turns)
        print(format_turns(["one batch, over and over", "all films"], seconds[:, :2], n))
        print(format_turns(["textbook script", "this toolkit"], seconds[:, [2, 1]], n))


@contextmanager
def textbook_turns(table, args):
    """Start the textbook script, and give a function that does a turn of it.

    Its process has the defaults of TensorFlow, not the settings made by importing `util`. Huge
    pages are set when a process starts, so both processes have them, or neither, as the shell sets
    it.
    """
    job = {
        "builder": BACKBONES[args.backbone].builder,
        "size": args.img_size,
        "batch_size": args.batch_size,
        "steps": args.steps,
        "paths": table["path"].tolist(),
        "ages": table["boneage"].tolist(),
    }
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [sys.executable, textbook.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=AS_STARTED,
            text=True,
        ) as process,
    ):

        def ask(line):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            if process.stdout.readline() != "done\n":
                complaints.seek(0)
                reason = (complaints.read().strip().splitlines() or ["no reason given"])[-1]
                raise UserError(f"the textbook script failed: {reason}")

        ask(json.dumps(job))
        yield lambda: ask("turn")
        process.stdin.close()


def ours(films, args):
    """Return two functions that do a turn of this toolkit: on all films, and on one batch over and
    over."""
    from train_advanced import parse_args
    from util.build import build_from
    from util.optimizer import compile_model
    from util.phases import plan_phases
    from util.training import choose_trainable, training_batches

    words = f"--backbone {args.backbone} --weights none --img_size {args.img_size} --fine_tune"
    options = parse_args([*words.split(), "--batch_size", str(args.batch_size)])
    phase = plan_phases(options)[-1]
    model = build_from(films, options)
    choose_trainable(model, phase, options)
    compile_model(model, phase.lr, args.steps, films.label_sd, options)

    def on_all():  # all batches are made within the turn
        batches = training_batches(model, films, options, 0, args.steps)
        model.fit(batches.take(args.steps), shuffle=False, verbose=0)

    def on_one():
        batch = training_batches(model, films, options, 0, 1).take(1)
        model.fit(batch.cache().repeat(args.steps), shuffle=False, verbose=0)

    return [on_all, on_one]


if __name__ == "__main__":
    run_command(main)
