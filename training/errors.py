"""What can go wrong in training.

::

    TrainingError       a corpus, feature, run or result that cannot be used
    └── RecipeError     a recipe that cannot be used

Every error is one line: where, what was found, what is allowed.
"""


class TrainingError(Exception):
    """A corpus, feature, run or result that cannot be used."""


class RecipeError(TrainingError):
    """A recipe that cannot be used: an unknown field, a value out of range."""
