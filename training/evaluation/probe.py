"""Shallow heads: a hidden layer on frozen embeddings, and the papers' ways to train it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from auricle.errors import TrainingError
from auricle.models.card import Activation
from auricle.models.heads.mlp import Layer
from auricle.training.data.tasks import Task
from auricle.training.evaluation import metrics
from auricle.training.evaluation.embeddings import (
    Array,
    Embeddings,
    even_segments,
    means,
    random_segments,
)

_TRACKS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a head is trained.

    Attributes:
        name: Name of the protocol.
        hidden: Units of the hidden layer, with ReLU.
        dropout: Dropout after the hidden layer.
        lr: Learning rate of Adam.
        weight_decay: Weight decay of Adam, as L2.
        multilabel_weight_decay: Weight decay for tasks with several classes a track.
        batch_size: Tracks in a batch.
        epochs: Passes over the tracks.
        schedule: Course of the rate: "none" keeps it; "halve" halves it after 5 epochs without a
            lower validation loss; "warm-up" as `warm_up_rate` says.
        takes: Input: "segment", one random segment of each track in each epoch, and the mean of the
            activations of its segments when tested; "mean", the mean of its embeddings.
        best: Criterion of the epoch whose weights are kept: the least validation loss, or the best
            macro ROC-AUC.
        validation_segments: Segments of a track in validation, evenly spaced; tests use all.
    """

    name: str
    hidden: int
    lr: float = 1e-3
    weight_decay: float = 1e-5
    multilabel_weight_decay: float = 1e-5
    dropout: float = 0.0
    batch_size: int = 32
    epochs: int = 30
    schedule: Literal["none", "halve", "warm-up"] = "none"
    takes: Literal["segment", "mean"] = "segment"
    best: Literal["loss", "roc_auc"] = "loss"
    validation_segments: int = 16


# The first two papers do not say the batch size; small corpora take few steps in an epoch, so it is
# small.
THESIS: Final = Protocol("thesis", hidden=100, multilabel_weight_decay=5e-4)
"""Alonso-Jimenez's thesis, sections 3.2.1 and 3.3.2."""

COLA: Final = Protocol("cola", hidden=512, schedule="halve")
"""Alonso-Jimenez et al., ISMIR 2022; thesis, section 4.3.3."""

MAEST: Final = Protocol(
    "maest",
    hidden=512,
    weight_decay=1e-3,
    multilabel_weight_decay=1e-3,
    dropout=0.5,
    batch_size=128,
    schedule="warm-up",
    takes="mean",
    best="roc_auc",
)
"""Thesis, section 6.3.3, outside its grid search; the rate is the highest of the grid."""

PROTOCOLS: Final = {protocol.name: protocol for protocol in (THESIS, COLA, MAEST)}

MAEST_GRID: Final[Mapping[str, Sequence[float]]] = {
    "batch_size": (64, 128, 256),
    "epochs": (30, 40, 50, 60, 70, 80),
    "dropout": (0.5, 0.75),
    "lr": (1e-3, 1e-4, 5e-4, 1e-5),
}
"""Values that the grid search of thesis section 6.3.7 tries, task by task."""


def protocols_of(name: str, grid: bool) -> list[Protocol]:
    """The protocol of a name; with `grid`, one for every combination of `MAEST_GRID`'s values."""
    if not grid:
        return [PROTOCOLS[name]]
    combinations: Iterator[tuple[Any, ...]] = itertools.product(*MAEST_GRID.values())
    return [
        replace(PROTOCOLS[name], **dict(zip(MAEST_GRID, each, strict=True)))
        for each in combinations
    ]


def warm_up_rate(
    epoch: int, epochs: int, peak: float, warm_up: int = 10, last: float = 1e-7
) -> float:
    """Learning rate of an epoch: up to `peak` along exp(-5 (1 - x)^2), then down to `last`.

    The thesis (section 6.3.3) does not say when it falls: here, linearly over the last third of the
    epochs. Epochs count from 0; `warm_up` is a number of epochs.
    """
    if epoch < warm_up:
        return peak * float(np.exp(-5 * (1 - epoch / warm_up) ** 2))
    left, falling = epochs - 1 - epoch, max(1, epochs // 3)
    return last + (peak - last) * min(1.0, left / falling)


@dataclass(frozen=True, slots=True)
class Probe:
    """A trained head.

    Attributes:
        network: Network from embeddings (n, size) to logits (n, classes).
        multilabel: Whether its activations are sigmoid rather than softmax.
        protocol: Training protocol.
        epoch: Epoch whose weights these are, from 1.
        validation: Loss, or ROC-AUC, by which that epoch was chosen.
    """

    network: nn.Sequential
    multilabel: bool
    protocol: Protocol
    epoch: int
    validation: float

    def activations(self, embeddings: Array) -> Array:
        """Activations (n, classes) float32 of embeddings (n, size) float32."""
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(embeddings))
            return np.asarray((logits.sigmoid() if self.multilabel else logits.softmax(-1)).numpy())

    def __call__(self, embeddings: Embeddings, track_ids: Sequence[str]) -> Array:
        """Activations of tracks, (tracks, classes), from their segments as the protocol says."""
        blocks = [np.empty((0, self.network[-1].out_features), np.float32)]
        for start in range(0, len(track_ids), _TRACKS_AT_ONCE):
            block = track_ids[start : start + _TRACKS_AT_ONCE]
            rows, starts = _read(embeddings, block, self.protocol)
            blocks.append(_track_means(self.activations(rows), starts))
        return np.concatenate(blocks)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the network as NumPy arrays, for `auricle.models.heads.head.save_head`.

        Weights are (inputs, outputs) float32, biases (outputs,) float32.
        """
        last: Activation = "sigmoid" if self.multilabel else "softmax"
        linear = [module for module in self.network if isinstance(module, nn.Linear)]
        return tuple(
            Layer(module.weight.detach().numpy().T, module.bias.detach().numpy(), activation)
            for module, activation in zip(linear, ("relu", last), strict=True)
        )


def network(size: int, classes: int, protocol: Protocol) -> nn.Sequential:
    """The untrained head: embeddings (n, size) to logits (n, classes)."""
    return nn.Sequential(
        nn.Linear(size, protocol.hidden),
        nn.ReLU(),
        nn.Dropout(protocol.dropout),
        nn.Linear(protocol.hidden, classes),
    )


def train_probe(
    embeddings: Embeddings,
    task: Task,
    train: Sequence[str],
    validation: Sequence[str],
    protocol: Protocol,
    seed: int = 0,
) -> Probe:
    """Train a head; the same seed gives the same head.

    Args:
        embeddings: Embeddings of all tracks named, (segments, size) each.
        task: The classification task.
        train: Ids of the tracks to train on.
        validation: Ids of the tracks that choose the epoch.
        protocol: Training protocol.
        seed: Seed of initial weights, order, segments and dropout.

    Raises:
        TrainingError: A part has no tracks, embeddings are missing or not finite, or the loss is
            never finite.
    """
    for part, ids in (("train with", train), ("choose the epoch by", validation)):
        if not ids:
            raise TrainingError(f"{task.name}: no tracks to {part}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _train(
            embeddings, task, list(train), list(validation), protocol, np.random.default_rng(seed)
        )


def _train(
    embeddings: Embeddings,
    task: Task,
    train: list[str],
    validation: list[str],
    protocol: Protocol,
    rng: np.random.Generator,
) -> Probe:
    fixed = means(embeddings, train) if protocol.takes == "mean" else None
    rows, starts = _read(embeddings, validation, protocol, protocol.validation_segments)
    model = network(rows.shape[1], len(task.classes), protocol)
    decay = protocol.multilabel_weight_decay if task.multilabel else protocol.weight_decay
    optimiser = torch.optim.Adam(model.parameters(), lr=protocol.lr, weight_decay=decay)
    targets, truth = _targets(task, train), task.matrix(validation)
    loss_of = nn.BCEWithLogitsLoss() if task.multilabel else nn.CrossEntropyLoss()
    best: Probe | None = None
    best_score, least, since = -np.inf, np.inf, 0
    for epoch in range(protocol.epochs):
        if protocol.schedule == "warm-up":
            _set_rate(optimiser, warm_up_rate(epoch, protocol.epochs, protocol.lr))
        inputs = torch.from_numpy(
            random_segments(embeddings, train, rng) if fixed is None else fixed
        )
        model.train()
        for batch in torch.from_numpy(rng.permutation(len(train))).split(protocol.batch_size):
            optimiser.zero_grad()
            loss_of(model(inputs[batch]), targets[batch]).backward()
            optimiser.step()
        model.eval()
        now = Probe(model, task.multilabel, protocol, epoch + 1, 0.0)
        activations = _track_means(now.activations(rows), starts)
        loss = _loss(truth, activations, task.multilabel)
        score = -loss
        if protocol.best == "roc_auc":
            score = metrics.macro(truth, activations, task.classes).roc_auc
        if score > best_score:
            best_score = score
            best = replace(now, network=copy.deepcopy(model), validation=abs(score))
        least, since = (loss, 0) if loss < least else (least, since + 1)
        if protocol.schedule == "halve" and since == 5:
            _set_rate(optimiser, optimiser.param_groups[0]["lr"] / 2)
            since = 0
    if best is None:
        raise TrainingError(
            f"{task.name}: the validation loss was never finite; is the learning rate too high?"
        )
    return best


def _read(
    embeddings: Embeddings, track_ids: Sequence[str], protocol: Protocol, at_most: int | None = None
) -> tuple[Array, NDArray[np.intp]]:
    """The inputs of a head for tracks, (rows, size), and the row at which each track begins."""
    if protocol.takes == "mean":
        return means(embeddings, track_ids), np.arange(len(track_ids))
    return even_segments(embeddings, track_ids, at_most)


def _track_means(activations: Array, starts: NDArray[np.intp]) -> Array:
    counts = np.diff([*starts, len(activations)])
    return np.asarray(np.add.reduceat(activations, starts) / counts[:, np.newaxis], np.float32)


def _targets(task: Task, track_ids: list[str]) -> torch.Tensor:
    matrix = task.matrix(track_ids)
    return torch.from_numpy(matrix.astype(np.float32) if task.multilabel else matrix.argmax(axis=1))


def _loss(truth: NDArray[np.bool_], activations: Array, multilabel: bool) -> float:
    """Cross-entropy of activations: of all classes with sigmoid, of the true one with softmax."""
    likely = np.where(truth, activations, 1 - activations)[
        np.ones_like(truth) if multilabel else truth
    ]
    return float(-np.log(np.maximum(likely, 1e-7)).mean())


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
