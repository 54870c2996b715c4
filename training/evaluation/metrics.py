"""Metrics of activations: ROC-AUC, average precision, accuracy, and agreement of two models.

"PR-AUC" in the papers is scikit-learn's `average_precision_score`. ROC-AUC is not defined for a
class that every track has, or none: such classes are left out of the means, and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Macro:
    """Means over classes.

    Attributes:
        roc_auc: Mean ROC-AUC.
        average_precision: Mean average precision.
        per_class: ROC-AUC and average precision by class.
        left_out: Classes that every track has, or none.
    """

    roc_auc: float
    average_precision: float
    per_class: dict[str, tuple[float, float]]
    left_out: tuple[str, ...]


def macro(targets: NDArray[np.bool_], activations: NDArray[Any], classes: Sequence[str]) -> Macro:
    """ROC-AUC and average precision of each class, and their means.

    Args:
        targets: (tracks, classes) boolean.
        activations: (tracks, classes); only their order within a class counts.
        classes: Names of the columns.

    Raises:
        TrainingError: No class is left, or an activation is not finite.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if not np.isfinite(activations).all():
        raise TrainingError("activations are not finite")
    per_class, left_out = {}, []
    for name, truth, scores in zip(classes, targets.T, activations.T, strict=True):
        if truth.any() and not truth.all():
            roc_auc = float(roc_auc_score(truth, scores))
            per_class[name] = (roc_auc, float(average_precision_score(truth, scores)))
        else:
            left_out.append(name)
    if not per_class:
        what = f"none of {len(classes)} classes ({', '.join(classes[:3])}, ...)"
        raise TrainingError(
            f"{what} has tracks with it and tracks without it; there is nothing to measure"
        )
    roc_auc, precision = np.mean(list(per_class.values()), axis=0)
    return Macro(float(roc_auc), float(precision), per_class, tuple(left_out))


def confusion(
    truth: NDArray[np.integer[Any]], predicted: NDArray[np.integer[Any]], size: int
) -> NDArray[np.intp]:
    """Number of tracks of class i that were taken for class j, (size, size)."""
    counts = np.zeros((size, size), np.intp)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def recalls(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Recall of each class of a confusion (classes, classes); NaN for a class without tracks."""
    totals = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.diag(counts) / np.where(totals, totals, np.nan)


def class_normalised_accuracy(counts: NDArray[np.intp]) -> float:
    """The mean of `recalls` over the classes that have tracks, so that each counts the same.

    Args:
        counts: Confusion (classes, classes), in tracks.
    """
    return float(np.nanmean(recalls(counts)))


def prevalence(values: NDArray[Any]) -> NDArray[np.float64]:
    """Share of rows with each class, (classes,) float64: the mean of `values` (rows, classes)."""
    return np.asarray(values.mean(axis=0, dtype=np.float64))


def spearman(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Rank correlation of the columns of `a` and `b`, both (rows, columns); NaN if one is constant.

    Returns:
        (columns,) float64, from -1 to 1.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values, axis=0) for values in (a, b)]
    x, y = (rank - rank.mean(axis=0) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0)))


def top_1_agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Share of rows whose strongest column is the same in `a` and `b`, both (rows, columns)."""
    return float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely a student follows its teacher.

    Attributes:
        spearman: Mean rank correlation over the classes that are prevalent enough.
        per_class: Rank correlation of each of these.
        top_1: Share of rows where both have the same strongest class, of all classes.
        left_out: Classes that are too rare, or constant.
    """

    spearman: float
    per_class: dict[str, float]
    top_1: float
    left_out: tuple[str, ...]


def agreement(
    teacher: NDArray[Any],
    student: NDArray[Any],
    classes: Sequence[str],
    least_prevalence: float = 0.01,
) -> Agreement:
    """Compare a student's activations (rows, classes) with its teacher's on the same rows.

    Args:
        teacher: Activations of the teacher, (rows, classes).
        student: Activations of the student, (rows, classes).
        classes: Names of the columns.
        least_prevalence: Classes whose mean activation by the teacher is lower do not count.

    Raises:
        TrainingError: The shapes differ, or no class counts.
    """
    if teacher.shape != student.shape:
        raise TrainingError(
            f"teacher {teacher.shape} and student {student.shape} must have one shape"
        )
    correlations = spearman(teacher, student)
    counted = (prevalence(teacher) >= least_prevalence) & np.isfinite(correlations)
    if not counted.any():
        raise TrainingError(f"no class has a mean activation of {least_prevalence} and varies")
    per_class = {
        name: float(r) for name, r, used in zip(classes, correlations, counted, strict=True) if used
    }
    left_out = tuple(name for name in classes if name not in per_class)
    mean = float(np.mean(list(per_class.values())))
    return Agreement(mean, per_class, top_1_agreement(teacher, student), left_out)
