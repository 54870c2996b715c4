"""One training run: its recipe, its course, its checkpoints, and the model that comes of it."""
