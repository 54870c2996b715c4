"""Subcommands of `auricle-train`, a module each."""

INCOMPLETE = 3
"""Exit code of work that was done without some of its input, as in `auricle`."""
