"""Running models: providers, sessions, and what overlapping segments and many streams share."""
