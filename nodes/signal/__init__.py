"""Pure functions on samples, frames and activations, which nodes and training share."""
