"""How fast the models predict, by backbone, batch size and route."""
