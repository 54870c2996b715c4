"""Ranks of models that count differences which may be chance as ties."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.errors import TrainingError


def corrected_ranks(
    means: Sequence[float], deviations: Sequence[float], runs: int, significance: float = 0.05
) -> list[int]:
    """Corrected ranks of models (Alonso-Jimenez's thesis, 2024, section 3.3.4).

    A model's corrected rank is the rank of the best model that a t-test does not distinguish from
    it. Every model is compared with all others, since this relation is not transitive. The thesis
    names neither the kind of test nor the deviation; here it is unpaired with equal variances, and
    the deviation divides by runs - 1.

    Args:
        means: Mean of each model; higher is better.
        deviations: Standard deviation of each model.
        runs: Values behind each mean.
        significance: Largest p at which two models count as different.

    Returns:
        Ranks from 1, in the order of the models.

    Raises:
        TrainingError: There is one run only.

    >>> corrected_ranks([0.920, 0.915, 0.880, 0.878], [0.010, 0.012, 0.008, 0.030], runs=5)
    [1, 1, 3, 3]
    """
    if runs < 2:
        raise TrainingError(f"corrected ranks need two runs of each model at least, not {runs}")
    order = sorted(range(len(means)), key=lambda model: -means[model])
    ranks = [0] * len(means)
    for model in order:
        for rank, better in enumerate(order, 1):
            alike = (means[better], deviations[better]), (means[model], deviations[model])
            if better == model or _p_value(*alike, runs) > significance:
                ranks[model] = rank
                break
    return ranks


def _p_value(a: tuple[float, float], b: tuple[float, float], runs: int) -> float:
    """The p-value of the unpaired t-test; its limit if the deviation is 0."""
    from scipy.stats import ttest_ind_from_stats

    if a[1] == b[1] == 0:
        return float(a[0] == b[0])
    return float(ttest_ind_from_stats(*a, runs, *b, runs).pvalue)
