"""Shallow heads on embeddings: read, checked, run many at a time."""
