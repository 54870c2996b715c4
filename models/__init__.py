"""Models: their cards, getting and converting them, and running them."""

DEFAULT_MODEL = "auricle-small"
"""Name of the model that is used where the user names none; it comes with Auricle."""
