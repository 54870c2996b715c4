"""Model cards and the registry that gets, converts and checks models."""

DEFAULT_MODEL = "auricle-small"
"""Tags where the user names no model; it comes with Auricle."""
