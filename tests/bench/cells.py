"""Cells of a report's table, of the type that a test asks for."""

from bench.report import Figure
from bench.timing import Spread


def spread(figure: Figure) -> Spread:
    """A figure that was measured several times."""
    assert isinstance(figure, Spread), figure
    return figure


def number(figure: Figure) -> float:
    """A figure that is one number."""
    assert isinstance(figure, int | float), figure
    return figure
