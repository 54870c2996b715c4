"""What can go wrong in training.

::

    TrainingError       a corpus, feature, run or result that cannot be used
    └── RecipeError     a recipe that cannot be used

Every error is one line: where, what was found, what is allowed.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class TrainingError(Exception):
    """A corpus, feature, run or result that cannot be used."""


class RecipeError(TrainingError):
    """A recipe that cannot be used: an unknown field, a value out of range."""


@contextmanager
def goes_on() -> Iterator[None]:
    """Around writing that can be taken up again: an OSError says so."""
    try:
        yield
    except OSError as error:
        error.strerror = f"{error.strerror}; what is whole is kept, and the same command goes on"
        raise
