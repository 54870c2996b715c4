"""Folds: nothing in two parts, nothing lost, classes and groups as promised."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="auricle.training.data.manifest reads Parquet")

from auricle.errors import TrainingError
from auricle.training.data.manifest import Part
from auricle.training.data.tasks import Task
from auricle.training.evaluation.folds import Fold, divide, fixed_fold, stratified_folds


def task(sizes: tuple[int, ...]) -> Task:
    targets = {f"{c}-{i}": (c,) for c, size in enumerate(sizes) for i in range(size)}
    return Task("t", tuple("abcdef"[: len(sizes)]), targets, multilabel=False)


def test_every_track_tests_once_and_is_in_one_part() -> None:
    whole = task((50, 30, 20))
    folds = stratified_folds(whole, 5)
    assert sorted(t for fold in folds for t in fold.test) == sorted(whole.targets)
    for fold in folds:
        assert sorted([*fold.train, *fold.validation, *fold.test]) == sorted(whole.targets)


def test_parts_have_the_shares_of_classes_that_the_thesis_has() -> None:
    for fold in stratified_folds(task((100, 60, 40)), 5, seed=3):
        counts = [
            [Counter(t[0] for t in part)[c] for c in "012"] for part in (fold.test, fold.validation)
        ]
        assert counts[0] == [20, 12, 8]
        # 15 % of 80, 48 and 32 is 12, 7.2 and 4.8.
        assert np.abs(np.array(counts[1]) - [12, 7.2, 4.8]).max() <= 1


def test_several_classes_a_track_are_stratified() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.random((400, 8)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.05, 0.025, 0.025]
    parts = divide(matrix, np.arange(400), [0.2] * 5, rng)
    shares = np.array([matrix[parts == part].sum(axis=0) for part in range(5)]) / matrix.sum(axis=0)
    assert np.abs(shares[:, :4] - 0.2).max() < 0.05
    assert (shares > 0).all()
    assert np.abs(np.bincount(parts) - 80).max() <= 4


def test_groups_are_not_parted() -> None:
    whole = task((60, 60))
    groups = {track_id: track_id[:3] for track_id in whole.targets}  # eleven or so of a class
    for fold in stratified_folds(whole, 4, groups=groups):
        parts = [{groups[t] for t in part} for part in (fold.train, fold.validation, fold.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
        assert {t[0] for t in fold.test} == {"0", "1"}


def test_seeds() -> None:
    whole = task((30, 30))
    assert stratified_folds(whole, 3, seed=1) == stratified_folds(whole, 3, seed=1)
    assert stratified_folds(whole, 3, seed=1) != stratified_folds(whole, 3, seed=2)


def test_one_large_group_leaves_no_part_empty() -> None:
    whole = task((20,))
    groups = {t: "large" if n < 18 else t for n, t in enumerate(whole.targets)}
    for fold in stratified_folds(whole, 3, groups=groups):
        assert fold.train
        assert fold.validation
        assert fold.test


@pytest.mark.parametrize(
    ("sizes", "count", "named"),
    [((3,), 5, "5 folds of 3"), ((2,), 2, "too few"), ((9,), 1, "1 folds")],
)
def test_too_few_tracks(sizes: tuple[int, ...], count: int, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        stratified_folds(task(sizes), count)


def test_fixed_parts() -> None:
    targets = {"x": (0,), "y": (0,), "z": (0,)}
    splits: dict[str, Part] = {"x": "train", "y": "validation", "z": "test"}
    assert fixed_fold(Task("t", ("a",), targets, False, splits)) == Fold(("x",), ("y",), ("z",))
    with pytest.raises(TrainingError, match="no tracks in the part 'validation'"):
        fixed_fold(Task("t", ("a",), targets, False, {**splits, "y": "test"}))
