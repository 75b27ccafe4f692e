"""Contrast-limited adaptive histogram equalisation (CLAHE) of validation and test films."""

import util  # noqa: F401 - sets TensorFlow's environment, before a module imports it
