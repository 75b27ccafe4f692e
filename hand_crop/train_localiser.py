"""Train the localiser of hands on films with boxes of their joints, and say how good it is.

    python -m hand_crop.train_localiser --boxes joint_boxes.csv --images films/

The table has columns id, xmin, ymin, xmax and ymax (shares of width and height), one row a joint.
Films are divided in four parts; each is predicted by a network that never saw it. Then a network is
trained on all of them and written to --out.
"""

from hand_crop.command import add_training, check_out
from util.errors import run_command
from util.options import new_parser


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("--boxes", required=True, metavar="FILE", help="table of joint boxes")
    add_training(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    check_out(args.out)
    from util.quiet import import_tensorflow

    import_tensorflow()
    from hand_crop import training
    from hand_crop.network import save_layers

    films, joints = training.read_boxes(args.boxes, args.images)
    training.report(*training.cross_validate(films, joints, args.steps, args.seed))
    if args.out:
        save_layers(training.train(films, joints, args.steps, args.seed), args.out)
        print(f"weights: {args.out}")


if __name__ == "__main__":
    run_command(main)
