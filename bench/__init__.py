"""Measurements: each is a function that returns figures, and a subcommand of `auricle bench`."""
