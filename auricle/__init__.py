"""Auricle listens to audio streams and says what it hears while it hears it."""

__version__ = "0.1.0"
