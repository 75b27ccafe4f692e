"""What `clahe.apply_validation` and `clahe.apply_test` share: options and report."""

from clahe.enhance import CLIP_LIMIT, FINEST_GRID, TILE_GRID, enhance_folder
from util.data_folder import split_folder
from util.errors import print_error
from util.options import add_workers
from util.parser import new_parser, real_number, whole_number


def run_clahe(split, description, argv):
    """Enhance the films of a split; the exit code is 1 when a film could not be read."""
    parser = new_parser(description)
    parser.add_argument(
        "--data_dir", default="Data", help="data folder, with validation/ and test/"
    )
    parser.add_argument(
        "--clip_limit",
        type=real_number(0, open_low=True),
        default=CLIP_LIMIT,
        help="how far a tile's histogram may rise above a flat one",
    )
    parser.add_argument(
        "--tile_grid",
        type=whole_number(1, FINEST_GRID),
        default=TILE_GRID,
        help="tiles along each side",
    )
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true", help="rewrite all, even if up to date")
    args = parser.parse_args(argv)
    source, target = split_folder(args.data_dir, split), split_folder(args.data_dir, split, True)
    written, skipped, failures = enhance_folder(
        source, target, args.clip_limit, args.tile_grid, args.workers, args.overwrite, progress=True
    )
    for path, reason in failures.items():
        print_error(f"{reason} ({path}). Replace the file or leave it out.")
    print(f"{target}: {written} written, {skipped} up to date, {len(failures)} failed")
    return 1 if failures else 0
