"""How fast the models predict, by backbone, batch size and route; exports that are quicker."""

import util  # noqa: F401 - sets TensorFlow's environment, before a module imports it
