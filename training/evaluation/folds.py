"""Which tracks train a head, which choose its weights, and which test it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.training.data.tasks import Task


@dataclass(frozen=True, slots=True)
class Fold:
    """Three parts without a common track: ids of tracks."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def fixed_fold(task: Task) -> Fold:
    """The fold made of the parts that the task itself defines.

    Raises:
        TrainingError: A part is empty.
    """
    fold = Fold(*(tuple(task.tracks(split)) for split in ("train", "validation", "test")))
    for split in ("train", "validation", "test"):
        if not getattr(fold, split):
            raise TrainingError(
                f"{task.name}: no tracks in the part {split!r}; evaluate it in folds instead"
            )
    return fold


def stratified_folds(
    task: Task,
    count: int = 5,
    *,
    validation: float = 0.15,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[Fold]:
    """Folds with about the same share of each class (thesis, section 3.2.2).

    Args:
        task: Task whose tracks are divided; a track tests in exactly one fold.
        count: Number of folds.
        validation: Share of what does not test.
        groups: Group of each track, by track id; tracks of one group stay in one part, so that a
            head cannot learn artists instead of classes. Shares are then as near as the groups
            allow.
        seed: Seed of the folds.

    Raises:
        TrainingError: There are fewer groups than it takes to fill all parts.
    """
    ids = np.array(list(task.targets))
    names = np.array([groups[t] for t in ids]) if groups is not None else ids
    kind = "tracks" if groups is None else "groups of tracks"
    available = len(np.unique(names))
    if not 2 <= count <= available:
        needs = "it takes 2 folds at least, and one of those for each fold"
        raise TrainingError(f"{task.name}: {count} folds of {available} {kind}; {needs}")
    matrix = task.matrix(ids.tolist())
    rng = np.random.default_rng(seed)
    parts = divide(matrix, names, [1 / count] * count, rng)
    folds = []
    for part in range(count):
        rest = np.flatnonzero(parts != part)
        if len(np.unique(names[rest])) < 2:
            raise TrainingError(
                f"{task.name}: {available} {kind} are too few to train, validate and test with"
            )
        held = divide(matrix[rest], names[rest], [1 - validation, validation], rng) == 1
        chosen = ids[rest[~held]], ids[rest[held]], ids[parts == part]
        folds.append(Fold(*(tuple(part_ids.tolist()) for part_ids in chosen)))
    return folds


def divide(
    matrix: NDArray[np.bool_],
    groups: NDArray[Any],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Divide tracks into parts, stratified by class and without parting groups.

    Greedy: groups in order of size, the largest first, equal ones at random; each goes to the part
    that still lacks most of what it has, where a rare class weighs more than a frequent one. Works
    for several classes a track, unlike scikit-learn's `StratifiedGroupKFold`. A part that no group
    came to gets the smallest group of the part with most.

    Args:
        matrix: Which track has which class, (tracks, classes) bool.
        groups: Name of the group of each track, (tracks,).
        shares: Share of each part; their sum is 1.
        rng: Generator that draws the order of groups of equal size.

    Returns:
        The part of each track, (tracks,).
    """
    names, owner = np.unique(groups, return_inverse=True)
    # A column for the track itself keeps the parts' sizes near their shares.
    columns = np.column_stack([matrix, np.ones(len(matrix), bool)])
    counts = np.zeros((len(names), columns.shape[1]))
    np.add.at(counts, owner, columns)
    totals = counts.sum(axis=0)
    weights = 1 / np.maximum(totals, 1) ** 2
    lack = np.outer(shares, totals)  # (parts, columns)
    shuffled = rng.permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled, -1], kind="stable")]
    part_of = np.empty(len(names), np.intp)
    for group in order:
        part = int(np.argmax(lack @ (weights * counts[group])))
        part_of[group] = part
        lack[part] -= counts[group]
    for part in range(len(shares)):
        if not (part_of == part).any():
            fullest = np.bincount(part_of, minlength=len(shares)).argmax()
            part_of[[group for group in order if part_of[group] == fullest][-1]] = part
    return part_of[owner]
