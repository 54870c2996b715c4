"""The one error of this package."""


class ModelError(Exception):
    """A model, its card or its download cannot be used.

    The message is one line: where (file, tensor or model name), what is wrong there, and what is allowed or
    what to do. Nothing here needs to tell kinds of failure apart, so there are no subclasses.
    """
