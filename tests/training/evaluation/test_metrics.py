"""Metrics, against scikit-learn, SciPy and counting by hand."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="macro metrics are scikit-learn's")

from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from auricle.errors import TrainingError
from auricle.training.evaluation import metrics

# Of class a, the positives are 1st and 3rd of 4: precision 1 and 2/3; of 4 pairs, 3 are in order.
TARGETS = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]], bool)
ACTIVATIONS = np.array([[0.9, 0.1, 0.2], [0.8, 0.2, 0.3], [0.7, 0.3, 0.1], [0.6, 0.4, 0.5]])


def test_macro_by_hand_names_what_cannot_be_measured() -> None:
    found = metrics.macro(TARGETS, ACTIVATIONS, ("a", "none", "all"))
    assert found.roc_auc == pytest.approx(3 / 4)
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.left_out == ("none", "all")
    assert list(found.per_class) == ["a"]


def test_macro_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    targets, activations = rng.random((50, 6)) < 0.3, rng.random((50, 6))
    found = metrics.macro(targets, activations, "abcdef")
    assert found.roc_auc == pytest.approx(roc_auc_score(targets, activations, average="macro"))
    expected = average_precision_score(targets, activations, average="macro")
    assert found.average_precision == pytest.approx(expected)
    assert not found.left_out


def test_macro_of_nothing_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"none of 2 classes \(none, all, \.\.\.\)"):
        metrics.macro(TARGETS[:, 1:], ACTIVATIONS[:, 1:], ("none", "all"))


def test_macro_of_nan_is_an_error() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        metrics.macro(TARGETS, np.full((4, 3), np.nan), "abc")


def test_accuracy_counts_each_class_the_same() -> None:
    truth, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 2])
    counts = metrics.confusion(truth, predicted, 4)
    assert counts.tolist() == [[3, 1, 0, 0], [0, 1, 1, 0], [0] * 4, [0] * 4]
    assert metrics.class_normalised_accuracy(counts) == pytest.approx((3 / 4 + 1 / 2) / 2)
    expected = balanced_accuracy_score(truth, [0, 0, 0, 1, 1, 1])
    assert (
        metrics.class_normalised_accuracy(metrics.confusion(truth, np.array([0, 0, 0, 1, 1, 1]), 2))
        == expected
    )
    assert np.isnan(metrics.recalls(counts)).tolist() == [False, False, True, True]


def test_spearman_equals_scipy_with_ties() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, (40, 3)), rng.random((40, 3))
    expected = [spearmanr(x, y).statistic for x, y in zip(a.T, b.T, strict=True)]
    np.testing.assert_allclose(metrics.spearman(a, b), expected, atol=1e-12)


def test_agreement_leaves_out_the_rare_and_the_constant() -> None:
    teacher = np.array([[0.9, 0.002, 0.5, 0.3], [0.5, 0.001, 0.5, 0.6], [0.1, 0.003, 0.5, 0.2]])
    student = np.array([[0.8, 0.3, 0.1, 0.2], [0.79, 0.2, 0.6, 0.75], [0.2, 0.1, 0.3, 0.1]])
    found = metrics.agreement(teacher, student, ("up", "rare", "constant", "other"))
    assert found.left_out == ("rare", "constant")
    assert found.per_class == pytest.approx({"up": 1.0, "other": 1.0})
    assert found.spearman == pytest.approx(1.0)
    assert found.top_1 == pytest.approx(
        2 / 3
    )  # the third row: "constant" by both; the first: "up"; second "other"


def test_agreement_of_other_shapes_is_an_error() -> None:
    with pytest.raises(TrainingError, match="one shape"):
        metrics.agreement(np.ones((2, 3)), np.ones((3, 3)), "abc")


def test_prevalence() -> None:
    np.testing.assert_array_equal(metrics.prevalence(TARGETS), [0.5, 0, 1])
