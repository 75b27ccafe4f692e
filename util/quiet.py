"""TensorFlow without its start-up notes."""

import os
import sys
import tempfile
from contextlib import contextmanager

from util.environment import gpu_names
from util.errors import UserError, first_line


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


def import_tensorflow():
    """Import TensorFlow and Keras for the first time without a screen of notes about oneDNN and
    missing CUDA drivers, which come before any log level counts."""
    with quiet_stderr():
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
