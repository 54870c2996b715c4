"""From stored features to the batches of an epoch."""
