"""Finds the hand on a film, and which way up it is, by small networks of numpy."""

import util  # noqa: F401 - sets TensorFlow's environment, before a module imports it
