"""TensorFlow without its start-up notes, and without what it need not load or do."""

import gc
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import cache

from util.environment import gpu_names
from util.errors import UserError, first_line

# Keras imports them, if it can, for wrappers and galleries that are not used here: a second
OF_NO_USE = ("sklearn", "matplotlib")


@contextmanager
def quiet_stderr():
    """Hold back what C libraries print to stderr; it is shown when the block raises."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def not_importing(names):
    """Within the block these modules can't be imported, unless they are loaded already."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # None stands for a module that is not there
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)  # another thread may have done so


@contextmanager
def for_good():
    """Within the block Python looks for no garbage, and never again among what there is at its end.
    To look through the 500,000 objects of TensorFlow is a quarter of its import, and a third of a
    second each time after it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@cache
def import_tensorflow():
    """Import TensorFlow and Keras for the first time, `for_good`, without a screen of notes about
    oneDNN and missing CUDA drivers, which come before any log level counts, and without modules
    that are `OF_NO_USE`."""
    with quiet_stderr(), not_importing(OF_NO_USE), for_good():
        try:
            import keras  # noqa: F401
            import tensorflow as tf
        except ImportError as error:
            raise UserError(
                # TensorFlow gives a traceback as the message of what it raises for a cause
                f"TensorFlow can't be imported: {first_line(error.__cause__ or error).rstrip('.')}. "
                "Install requirements.txt anew (on Windows see docs/PLATFORMS.md)."
            ) from None
        tf.get_logger().setLevel("ERROR")  # a model for each fold is no mistake of the user's
        gpu_names()  # which has notes of its own, the first time
