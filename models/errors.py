"""The errors of this package."""


class ModelError(Exception):
    """A model, its card or its download cannot be used.

    The message is one line: where (file, tensor or model name), what is wrong there, and what is allowed or
    what to do.
    """


class ProviderError(ModelError):
    """What runs models cannot load, compile or run this one; something else may."""
