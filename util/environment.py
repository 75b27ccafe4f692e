"""What a result depends on besides options and data: versions, code and hardware."""

import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from util.parallel import cores

# fmt: off
PACKAGES = (
    "tensorflow", "keras", "numpy", "pandas", "opencv-python-headless", "scikit-learn", "scipy",
)
# fmt: on
VARIABLES = (  # environment variables that decide how TensorFlow rounds
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "NVIDIA_TF32_OVERRIDE",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)


def environment(packages=PACKAGES):
    """Return the versions, code and hardware behind a result, ready for JSON."""
    return {
        "started": datetime.now().isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: v for name in packages if (v := installed_version(name))},
        "git_commit": git_commit(),
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": cores(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_commit():
    """Return the commit of this checkout, with "+" if its files were changed; None outside git."""
    commit, changed = git("rev-parse", "HEAD"), git("diff", "--name-only", "HEAD")
    if commit is None or changed is None:
        return None
    return commit.decode().strip() + ("+" if changed else "")


def git_changes():
    """Return the uncommitted changes of this checkout's files as the bytes of a patch, empty if
    there are none; None outside git."""
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv")  # whatever git is set to
    return git("diff", *plain, "--src-prefix=a/", "--dst-prefix=b/", "HEAD")


def git(*words):
    """Return what git prints for this checkout, as bytes; None outside git, or if git fails."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():  # a download, which may be inside a checkout of something else
        return None
    try:
        # git refuses the checkout of another user unless it is called safe
        command = ["git", "-c", f"safe.directory={root}", "-C", root, *words]
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def device_names():
    """Return the names of the devices TensorFlow computes on: the GPUs, or else the processor."""
    return gpu_names() or [f"CPU, {cores()} cores"]


def gpu_names():
    """Return the names of the GPUs that TensorFlow sees."""
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def processor_name():
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
