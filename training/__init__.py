"""From a folder of tagged music to a model that the engine runs."""
