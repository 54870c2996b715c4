"""Measurements: each module's `measure` makes a report, and is a subcommand of `auricle bench`."""
