"""Subcommands of `auricle-train`, a module each."""
