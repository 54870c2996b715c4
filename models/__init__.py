"""Model cards and the registry that gets, converts and checks models."""
