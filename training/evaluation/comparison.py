"""Comparing embeddings: the same heads, tracks and seeds for each, and a deviation for each figure.

Model by model, a run is one head: of one training of the model, one fold and one seed. Figures are
means over runs; their deviation divides by runs - 1. It does not cover what was the same in all
runs: with one training and fixed parts it is that of the heads' seeds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import TrainingError
from auricle.training.data.tasks import Task
from auricle.training.evaluation import metrics
from auricle.training.evaluation.embeddings import Array, Embeddings, means
from auricle.training.evaluation.folds import Fold, stratified_folds
from auricle.training.evaluation.probe import Probe, Protocol, train_probe
from auricle.training.evaluation.retrieval import retrieve
from auricle.training.evaluation.stacks import Reduced, fit_pca

EXAMPLES: Final = (1, 5, 10, 30)
"""Tracks a class of learning curves (thesis, section 3.3.5)."""


@dataclass(frozen=True, slots=True)
class Result:
    """A figure.

    Attributes:
        task: Name of the task.
        model: Name of the model.
        metric: Name of the metric.
        values: Value of each run.
        examples: Tracks per class that heads were trained with; None for all.
        left_out: Classes that could not be measured in some run.
    """

    task: str
    model: str
    metric: str
    values: tuple[float, ...]
    examples: int | None = None
    left_out: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Mean of the values, in the unit of the metric."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the values, in their unit; None for a single value."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one head.

    Attributes:
        figures: Figure of each metric. Several classes a track: "roc_auc" and "average_precision",
            macro. One class a track: "accuracy", class-normalised.
        per_class: Average precision, or recall, of each class that was measured.
        left_out: Classes that no track had in training, or that cannot be measured in the test.
        confusion: (classes, classes), for tasks with one class a track.
    """

    figures: dict[str, float]
    per_class: dict[str, float]
    left_out: tuple[str, ...]
    confusion: NDArray[np.intp] | None = None


def score(
    task: Task,
    track_ids: Sequence[str],
    activations: Array,
    trained: NDArray[np.bool_] | None = None,
) -> Scores:
    """The figures of activations.

    Args:
        task: Task with the true classes.
        track_ids: Names of the rows.
        activations: (tracks, classes) float32, columns in the order of the task's classes.
        trained: (classes,) boolean: which classes the head was trained on, if not all; others
            count in no mean.

    Raises:
        TrainingError: No class can be measured.
    """
    truth = task.matrix(list(track_ids))
    met = np.ones(len(task.classes), bool) if trained is None else trained
    if task.multilabel:
        names = [name for name, has in zip(task.classes, met, strict=True) if has]
        found = metrics.macro(truth[:, met], activations[:, met], names)
        figures = {"roc_auc": found.roc_auc, "average_precision": found.average_precision}
        per_class = {name: precision for name, (_, precision) in found.per_class.items()}
        counts = None
    else:
        rows = truth[:, met].any(axis=1)
        if not rows.any():
            raise TrainingError(f"{task.name}: no track of the test has a class that was trained")
        predicted = activations[rows].argmax(axis=1)
        counts = metrics.confusion(truth[rows].argmax(axis=1), predicted, len(task.classes))
        figures = {"accuracy": metrics.class_normalised_accuracy(counts)}
        recalls = zip(task.classes, metrics.recalls(counts).tolist(), strict=True)
        per_class = {name: recall for name, recall in recalls if recall == recall}
    left_out = tuple(name for name in task.classes if name not in per_class)
    return Scores(figures, per_class, left_out, counts)


def best_probe(
    embeddings: Embeddings, task: Task, fold: Fold, protocols: Sequence[Protocol], seed: int = 0
) -> Probe:
    """Train a head with each protocol, and return the one that validates best.

    Args:
        embeddings: Embeddings of all tracks of the fold, (segments, size) each.
        task: The classification task.
        fold: Fold whose training and validation tracks are used.
        protocols: One protocol, or those of a grid search.
        seed: Seed of each training.

    Raises:
        TrainingError: As `train_probe`.
    """
    probes = [
        train_probe(embeddings, task, fold.train, fold.validation, p, seed) for p in protocols
    ]
    return max(
        probes, key=lambda p: p.validation if p.protocol.best == "roc_auc" else -p.validation
    )


def heads(
    task: Task,
    trainings: Sequence[Embeddings],
    folds: Sequence[Fold],
    protocols: Sequence[Protocol],
    *,
    seeds: int = 1,
    pca: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Scores]:
    """Train and test a head for each training of a model, fold and seed.

    Args:
        task: The classification task.
        trainings: Embeddings by one model, trained with one seed or several.
        folds: Folds of tracks of the task that all `trainings` have.
        protocols: One protocol, or all that a grid search tries.
        seeds: Heads per fold.
        pca: Dimensions to which embeddings are reduced first, by the principal components of the
            training tracks' means.
        advance: Called after each run.

    Raises:
        TrainingError: As `train_probe` and `score`.
    """
    for embeddings in trainings:
        for fold in folds:
            known = embeddings
            if pca is not None:
                known = Reduced(embeddings, fit_pca(means(embeddings, fold.train), pca))
            for seed in range(seeds):
                probe = best_probe(known, task, fold, protocols, seed)
                yield _tested(probe, known, task, fold)
                advance()


def learning_curve(
    task: Task,
    trainings: Sequence[Embeddings],
    folds: Sequence[Fold],
    protocols: Sequence[Protocol],
    *,
    model: str,
    examples: Sequence[int] = EXAMPLES,
    trials: int = 3,
    advance: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Figures of heads that were trained with few tracks a class (thesis, section 3.3.5).

    Each trial draws different training tracks; validation and test stay whole. `examples` are in
    tracks per class. Other arguments and errors are as for `heads`.
    """
    results = []
    for count in examples:
        runs: list[Scores] = []
        for trial in range(trials):
            rng = np.random.default_rng((count, trial))
            drawn = [replace(fold, train=few(task, fold.train, count, rng)) for fold in folds]
            runs += heads(task, trainings, drawn, protocols, advance=advance)
        results += results_of(task, model, runs, examples=count)
    return results


def few(
    task: Task, track_ids: Iterable[str], examples: int, rng: np.random.Generator
) -> tuple[str, ...]:
    """Draw up to `examples` tracks of each class; with several classes a track, their union."""
    ids = np.array(list(track_ids))
    kept: set[str] = set()
    for column in task.matrix(ids.tolist()).T:
        having = ids[column]
        kept |= set(rng.choice(having, min(examples, len(having)), replace=False).tolist())
    return tuple(track_id for track_id in ids.tolist() if track_id in kept)


def cross_collection(
    task: Task,
    embeddings: Embeddings,
    other: Task,
    other_embeddings: Embeddings,
    names: Mapping[str, str],
    protocols: Sequence[Protocol],
    *,
    groups: Mapping[str, str] | None = None,
    seeds: int = 1,
) -> list[Scores]:
    """Train on one collection, test on all of another (thesis, section 3.2.3).

    Args:
        task: Task of the first collection; four fifths of it train, one fifth validates.
        embeddings: Embeddings of the first collection.
        other: Task of the second; both have one class a track, or both several.
        other_embeddings: Embeddings of the second collection, by the same model.
        names: By class of `other`, the class of `task` that means the same. Other classes of
            `other` do not count, and, with one class a track, neither do their tracks; the head's
            other classes are then not to be chosen.
        protocols: One protocol, or all that a grid search tries.
        groups: Groups of tracks, as in `stratified_folds`.
        seeds: Number of heads, each with another division.

    Raises:
        TrainingError: A name is not a class, tasks are of two kinds, or as `heads`.
    """
    for name, known in [*((n, other) for n in names), *((n, task) for n in names.values())]:
        if name not in known.classes:
            raise TrainingError(
                f"{known.name}: no class {name!r}; classes are: {', '.join(known.classes)}"
            )
    if task.multilabel != other.multilabel:
        raise TrainingError(
            f"{task.name}, {other.name}: one has several classes a track, the other does not"
        )
    mapped = _mapped(other, list(names))
    columns = [task.classes.index(name) for name in names.values()]
    ids = list(mapped.targets)
    runs = []
    for seed in range(seeds):
        held = stratified_folds(task, 5, groups=groups, seed=seed)[0]
        # What would have validated trains too: nothing of this collection is held back for a test.
        fold = Fold(held.train + held.validation, held.test, ())
        probe = best_probe(embeddings, task, fold, protocols, seed)
        met = _met(task, fold)[columns]
        runs.append(score(mapped, ids, probe(other_embeddings, ids)[:, columns], met))
    return runs


def results_of(
    task: Task, model: str, runs: Sequence[Scores], examples: int | None = None
) -> list[Result]:
    """The figures of runs, one result a metric."""
    left_out = {name for run in runs for name in run.left_out}
    ordered = tuple(name for name in task.classes if name in left_out)

    def result(metric: str) -> Result:
        values = tuple(run.figures[metric] for run in runs)
        return Result(task.name, model, metric, values, examples, ordered)

    return [result(metric) for metric in runs[0].figures]


def class_results(task: Task, model: str, runs: Sequence[Scores]) -> dict[str, Result]:
    """The figures of each class that was measured, by its name: average precision, or recall."""
    metric = "average_precision" if task.multilabel else "recall"

    def values(name: str) -> tuple[float, ...]:
        return tuple(run.per_class[name] for run in runs if name in run.per_class)

    measured = {name: values(name) for name in task.classes}
    return {
        name: Result(task.name, model, metric, values)
        for name, values in measured.items()
        if values
    }


def retrieval_results(
    name: str,
    model: str,
    trainings: Sequence[Embeddings],
    track_ids: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    excluded: Mapping[str, Sequence[str]] | None = None,
) -> list[Result]:
    """Mean average precision (mAP) and recall at k of retrieval among the means of tracks.

    There is a run for each training of the model.

    Args:
        name: Name of the task.
        model: Name of the model.
        trainings: Embeddings by one model, trained with one seed or several.
        track_ids: Names of the tracks, each a query and each searched.
        groups: Groups of each track, by track id, as in `retrieve`.
        excluded: Groups that must not be shared, by track id, as in `retrieve`.

    Raises:
        TrainingError: As `retrieve`.
    """
    barred = None if excluded is None else [excluded[track_id] for track_id in track_ids]
    related = [groups[track_id] for track_id in track_ids]
    found = [
        retrieve(means(embeddings, track_ids), related, excluded=barred) for embeddings in trainings
    ]
    figures: dict[str, list[float]] = {"mAP": [run.mean_average_precision for run in found]}
    for depth in found[0].recall:
        figures[f"recall@{depth}"] = [run.recall[depth] for run in found]
    return [Result(name, model, metric, tuple(values)) for metric, values in figures.items()]


def _tested(probe: Probe, embeddings: Embeddings, task: Task, fold: Fold) -> Scores:
    return score(task, fold.test, probe(embeddings, fold.test), _met(task, fold))


def _met(task: Task, fold: Fold) -> NDArray[np.bool_]:
    """Which classes a training track has, (classes,)."""
    return np.asarray(task.matrix(list(fold.train)).any(axis=0))


def _mapped(task: Task, classes: list[str]) -> Task:
    """The task with these of its classes, in this order."""
    column = {task.classes.index(name): place for place, name in enumerate(classes)}
    targets: dict[str, tuple[int, ...]] = {}
    for track_id, target in task.targets.items():
        kept = tuple(column[index] for index in target if index in column)
        if kept or task.multilabel:
            targets[track_id] = kept
    return replace(task, classes=tuple(classes), targets=targets)
