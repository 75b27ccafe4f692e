"""Measurements behind docs/."""

import util  # noqa: F401 - sets TensorFlow's environment, before a module imports it
