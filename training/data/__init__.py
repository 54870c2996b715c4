"""Corpora, features and tasks: what training reads."""
