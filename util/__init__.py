"""Shared parts of the BoneAge scripts.

Importing this package sets TensorFlow's environment, which counts only before TensorFlow is
imported. What the user has set in the shell wins. It ends in one line where Python lacks what every
script needs.
"""

import importlib.util
import os
import sys

NEEDED = ("cv2", "numpy", "pandas", "threadpoolctl", "tqdm")

MOST_PIXELS = 100_000_000  # of a film; films have up to 30 million
DEFAULTS = {
    # Off by default on AMD processors, where it doubles the speed of training.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # TensorFlow's notes and warnings would bury our own messages; its errors tell what a GPU lacks.
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "KERAS_BACKEND": "tensorflow",
    # Else a process takes all memory of a GPU, and none can run beside it.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # Large arrays in huge pages (docs/SPEED.md). The C library reads it when a process starts, so
    # it counts for those that ours start, such as the trainings of a sweep.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # A small file can promise more pixels than there is memory for.
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(MOST_PIXELS),
}
AS_STARTED = dict(os.environ)  # the environment before
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
