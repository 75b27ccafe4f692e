"""How fast the models predict, by backbone, batch size and route; exports that are quicker."""
