"""Import TensorFlow without its start-up notes, and in commands without work and modules that they
don't need."""

import gc
import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from functools import cache

from util import errors
from util.environment import gpu_names
from util.errors import UserError, first_line

# Keras imports these if it can, for wrappers and galleries not used here; that takes a second
OF_NO_USE = ("sklearn", "matplotlib")
one_at_a_time = threading.RLock()  # a block may be within another of its thread


@contextmanager
def quiet_stderr():
    """Within the block, hold back what C libraries print to stderr; show it if the block raises.

    Only one thread at a time is within: another could take the file of the first for stderr.
    """
    with one_at_a_time, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
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
    sys.modules.update(dict.fromkeys(absent))  # None makes an import fail
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)  # another thread may have removed it


@contextmanager
def without_garbage_collection():
    """Within the block, Python collects no garbage; in a command, the objects that exist at its end
    are never searched again. In a program they could be large ones that it will drop.

    Searching the 500,000 objects of TensorFlow takes a quarter of its import time, and a third of a
    second each time afterwards.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if errors.in_command:
            gc.freeze()
        if enabled:
            gc.enable()


@cache
def import_tensorflow():
    """Import TensorFlow and Keras quietly and `without_garbage_collection`; in a command without
    OF_NO_USE, which programs may want.

    TensorFlow prints a screen of notes about oneDNN and missing CUDA drivers before any log level
    has an effect. UserError when it can't be imported.
    """
    unwanted = OF_NO_USE if errors.in_command else ()
    with quiet_stderr(), not_importing(unwanted), without_garbage_collection():
        try:
            import keras  # noqa: F401
            import tensorflow as tf
        except ImportError as error:
            raise UserError(
                # the message of TensorFlow's error may be a traceback: its cause has the reason
                f"TensorFlow can't be imported: {first_line(error.__cause__ or error).rstrip('.')}. "
                "Install requirements.txt again (on Windows see docs/PLATFORMS.md)."
            ) from None
        tf.get_logger().setLevel("ERROR")  # it warns of many models, but each fold needs one
        gpu_names()  # prints notes of its own at the first call
