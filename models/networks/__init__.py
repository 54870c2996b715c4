"""Network architectures, in torch; nothing here is imported to run a graph."""
