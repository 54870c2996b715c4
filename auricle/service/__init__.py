"""A graph at work for one stream or many."""
