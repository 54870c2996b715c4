"""The cost of many shallow heads beside a backbone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from auricle.engine.node import Node
from auricle.errors import ConfigError
from auricle.models.card import Activation
from auricle.models.heads.head import Mlp, save_head
from auricle.models.heads.mlp import Layer
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.predictions import Prediction
from bench.measures.backbone import BLOCK, COLUMN
from bench.replay import Kept, Replay, run_through
from bench.report import Report
from bench.segments import Segments
from bench.timing import Progress, Spread, alternate, ratios, silent

ALONE = "backbone alone"
NODE = "... the heads node alone"
HIDDEN = 100
"""Hidden units of a head."""

TOLERANCE = 1e-5
"""Largest difference of activations: one product for all sums in another order than one for each.
"""


def measure(
    model: str = "musicnn-mtt",
    count: int = 50,
    hop_size: int | None = None,
    segments: int = 48,
    runs: int = 5,
    progress: Progress = silent,
) -> Report:
    """Segments through a backbone, with and without `count` heads of 100 hidden units.

    Args:
        model: Name of an installed model, or its folder.
        count: Number of heads, of 2 to 50 labels, with weights from a seed.
        hop_size: Mel frames from one segment to the next; None for the model card's.
        segments: Segments per round.
        runs: Number of measured rounds.
        progress: Function to call with a line of progress.

    Raises:
        ConfigError: A model without embeddings.
    """
    stepped = Segments.of(model, hop_size)
    card = stepped.card
    if not card.embedding_size:
        raise ConfigError(f"{card.name}: it has no embeddings for heads to take")
    with tempfile.TemporaryDirectory(prefix="auricle-bench-") as folder:
        heads = make_heads(Path(folder), count, card.embedding_size, card.name)
        alone = _ThroughNodes(model, stepped, segments)
        both = _ThroughNodes(model, stepped, segments, [Path(folder) / h.card.name for h in heads])
        name = f"backbone and {count} heads"
        measured = alternate({ALONE: alone, name: both}, runs, progress=progress)
    report = _report(stepped, count, segments, runs)
    _fill(report, name, measured, both.in_heads_s[-runs:])
    error = both.difference_from(heads)
    report.row(name, {"error": error})
    report.target("difference from each head by itself", error, at_most=TOLERANCE, correctness=True)
    return report


class _ThroughNodes:
    """Segments through a backbone and maybe heads, whose times alone count.

    Args:
        model: Name of an installed model, or its folder.
        stepped: Segments of the model.
        segments: Segments per round.
        heads: Folders of the heads, if any.

    Attributes:
        in_heads_s: Seconds a segment in the node of the heads, by the round.
    """

    def __init__(
        self, model: str, stepped: Segments, segments: int, heads: Sequence[Path] = ()
    ) -> None:
        self.in_heads_s: list[float] = []
        self._model, self._stepped, self._segments = model, stepped, segments
        self._heads = tuple(map(str, heads))
        self._mel = stepped.music(segments)

    def __call__(self) -> float:
        """Seconds a segment."""
        front_end = self._stepped.front_end
        nodes: list[Node] = [
            Replay("mel", self._mel, (mel_axis(front_end),), front_end.rate, BLOCK),
            Backbone("backbone", model=self._model, hop_size=self._stepped.hop_size),
        ]
        edges = [("mel", "backbone")]
        if self._heads:
            self._embeddings = Kept("embeddings", None)
            self._scores = Kept("scores", Prediction)
            nodes += [Heads("heads", heads=self._heads), self._embeddings, self._scores]
            edges += [("backbone.embeddings", "heads"), ("backbone.embeddings", "embeddings")]
            edges += [("heads", "scores")]
        spent = run_through(nodes, edges).spent_ns
        # What the graph of the bench adds at both ends is not counted.
        in_heads = spent.get("heads", 0)
        self.in_heads_s.append(in_heads / 1e9 / self._segments)
        return (spent["backbone"] + in_heads) / 1e9 / self._segments

    def difference_from(self, heads: Sequence[Mlp]) -> float:
        """Largest difference of the last round's activations from those of each head run singly."""
        embeddings, scores = np.array(self._embeddings.tokens), self._scores.tokens
        if len(embeddings) != len(scores):
            return float("inf")
        worst = 0.0
        for number, head in enumerate(heads):
            together = [prediction.scores[number].activations for prediction in scores]
            worst = max(worst, float(np.abs(np.array(together) - head(embeddings)).max()))
        return worst


def _report(stepped: Segments, count: int, segments: int, runs: int) -> Report:
    return Report(
        "heads",
        "One segment through a backbone, with and without heads",
        {
            "model": stepped.card.name,
            "heads": count,
            "hop_size": stepped.hop_size,
            "segments": segments,
            # Its threads wait for each other, which is slow where another process holds a core.
            "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
            "runs": runs,
        },
        reference=ALONE,
    )


def _fill(
    report: Report,
    name: str,
    measured: Mapping[str, Sequence[float]],
    in_heads_s: Sequence[float],
) -> None:
    """Rows and the target of speed; `name` is that of the row with heads."""
    alone, both = measured[ALONE], measured[name]
    overhead = Spread.of([100 * (a / b - 1) for a, b in zip(both, alone, strict=True)])
    share = ratios(in_heads_s, alone).scaled(100)
    for row, seconds, percent in (
        (ALONE, alone, None),
        (name, both, overhead),
        (NODE, in_heads_s, share),
    ):
        report.row(row, {COLUMN: Spread.of(seconds).scaled(1e3), "overhead %": percent})
    report.target(f"{report.settings['heads']} heads: overhead %", overhead, at_most=5)
    report.notes.append(
        "the overhead compares two times and so has the noise of both; the node alone is the "
        "lower bound"
    )


def make_heads(
    folder: Path, count: int, embedding_size: int, backbone: str, seed: int = 0
) -> list[Mlp]:
    """Write `count` heads with random weights, and return them.

    Each has a hidden layer of 100 units and 2 to 50 labels: weights (embedding_size, 100) and
    (100, labels) float32.
    """
    rng = np.random.default_rng(seed)
    heads = []
    for number in range(count):
        labels = 2 + (48 * number) // max(1, count - 1)
        layers = [
            _layer(rng, embedding_size, HIDDEN, "relu"),
            _layer(rng, HIDDEN, labels, "sigmoid"),
        ]
        name = f"head-{number}"
        names = [f"label-{label}" for label in range(labels)]
        heads.append(
            save_head(folder / name, layers, name=name, labels=names, embedding_model=backbone)
        )
    return heads


def _layer(rng: np.random.Generator, size_in: int, size_out: int, activation: Activation) -> Layer:
    weight = rng.normal(0, size_in**-0.5, (size_in, size_out)).astype(np.float32)
    return Layer(weight, np.zeros(size_out, np.float32), activation)
