"""Write CLAHE-enhanced copies of the validation films into Data/validation_CLAHE/.

    python -m clahe.apply_validation
    python -m clahe.apply_validation --data_dir demo/Data --clip_limit 3 --tile_grid 16

Training films are never touched. Read clahe/README.md before you evaluate on enhanced films.
"""

from clahe.command import run_clahe
from util.errors import run_command


def main(argv=None):
    return run_clahe("val", __doc__, argv)


if __name__ == "__main__":
    run_command(main)
