"""Making model folders from what others publish."""
