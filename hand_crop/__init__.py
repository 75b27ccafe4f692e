"""Finds the hand on a film, and which way up the film is, by small networks in numpy."""

import util  # noqa: F401 - sets TensorFlow's environment, before a module imports it
