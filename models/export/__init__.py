"""Making model folders from networks in PyTorch."""
