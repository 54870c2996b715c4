"""Corrected ranks: the worked example, and what could be got wrong."""

import pytest

pytest.importorskip("scipy", reason="the t-test is SciPy's")

from auricle.errors import TrainingError
from auricle.training.evaluation.ranks import corrected_ranks


def test_worked_example_in_any_order() -> None:
    means, deviations = [0.878, 0.920, 0.880, 0.915], [0.030, 0.010, 0.008, 0.012]
    assert corrected_ranks(means, deviations, 5) == [3, 1, 3, 1]


def test_compared_with_the_best_not_with_the_neighbour() -> None:
    # Neighbours are alike (t = 1.58, p = .15), the first and the last are not (t = 3.16, p = .013).
    assert corrected_ranks([0.92, 0.91, 0.90], [0.01, 0.01, 0.01], 5) == [1, 1, 2]


def test_without_deviation_only_equals_are_alike() -> None:
    assert corrected_ranks([0.9, 0.8, 0.9], [0, 0, 0], 3) == [1, 3, 1]


def test_one_run_is_an_error() -> None:
    with pytest.raises(TrainingError, match="two runs"):
        corrected_ranks([0.9], [0.0], 1)
