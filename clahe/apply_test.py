"""Write CLAHE-enhanced copies of the test films into Data/test_CLAHE/.

    python -m clahe.apply_test
    python -m clahe.apply_test --data_dir demo/Data --clip_limit 3 --tile_grid 16

Training films are never touched. Read clahe/README.md before you evaluate on enhanced films.
"""

from clahe.command import run_clahe
from util.errors import run_command


def main(argv=None):
    return run_clahe("test", __doc__, argv)


if __name__ == "__main__":
    run_command(main)
