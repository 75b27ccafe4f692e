"""Train the localiser of hands on films with boxes of their joints, and say how good it is.

    python -m hand_crop.train_localiser --boxes joint_boxes.csv --images films/

The table has columns id, xmin, ymin, xmax and ymax (shares of width and height), one row a joint.
Films are divided in four parts; each is predicted by a network that never saw it. Then a network is
trained on all of them and written to --out.
"""

from pathlib import Path

from util.errors import UserError, run_command
from util.files import check_new_file
from util.options import add_seed, count, new_parser


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--boxes", required=True, metavar="FILE", help="table of joint boxes")
    add_training(parser)
    return parser.parse_args(argv)


def add_training(parser):
    """The options that the trainings of both small networks have."""
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of upright films")
    parser.add_argument("--steps", type=count(20), default=3000, help="training steps a network")
    parser.add_argument("--out", metavar="FILE", help="write the network's weights (.npz) here")
    add_seed(parser)


def main(argv=None):
    args = parse_args(argv)
    check_out(args.out)
    from util.quiet import import_tensorflow

    import_tensorflow()
    from hand_crop import localiser, training

    films, joints = training.read_boxes(args.boxes, args.images)
    training.report(*training.cross_validate(films, joints, args.steps, args.seed))
    if args.out:
        localiser.save_layers(training.train(films, joints, args.steps, args.seed), args.out)
        print(f"weights: {args.out}")


def check_out(path):
    """UserError, before any training, when the weights can't be written to --out, if given."""
    if not path:
        return
    if Path(path).suffix != ".npz":
        raise UserError(f"weights are a .npz file ({path}). Choose another --out.")
    check_new_file(path)


if __name__ == "__main__":
    run_command(main)
