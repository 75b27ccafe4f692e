"""Shared parts of the BoneAge scripts.

Importing this package sets environment variables that TensorFlow and OpenCV read when they are
imported, so import it first. Variables set in the shell win. If a package that every script needs
is missing, the program ends with a one-line error.
"""

import importlib.util
import os
import sys

NEEDED = ("cv2", "numpy", "pandas", "threadpoolctl", "tqdm")

MOST_PIXELS = 100_000_000  # most in one film; real films have up to 30 million
DEFAULTS = {
    # Off by default on AMD processors, where it doubles the speed of training.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # TensorFlow's notes and warnings would bury our messages. Its errors say what a GPU lacks.
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
    # Otherwise one process takes all memory of a GPU, and no other can use this GPU.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # Puts large arrays in huge pages (docs/SPEED.md). The C library reads this when a process
    # starts, so it affects only processes that this one starts, as the trainings of a sweep.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # A small file can declare more pixels than fit into memory.
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(MOST_PIXELS),
}
AS_STARTED = dict(os.environ)  # the environment before these defaults
os.environ.update(DEFAULTS | AS_STARTED)

missing = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
if missing:
    activate = r".venv\Scripts\activate" if os.name == "nt" else "source .venv/bin/activate"
    print(
        f"error: {missing} is not installed for this Python ({sys.executable}). Activate the "
        f"environment ({activate}), or pip install -r requirements.txt.",
        file=sys.stderr,
    )
    sys.exit(2)
