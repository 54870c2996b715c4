"""Noise through a backbone, and what comes out: for comparing ways to run it."""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Skip
from auricle.engine.node import Node
from auricle.engine.testing import Player, Recorder
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Prediction


class NoiseStream:
    """A stream of noise with gaps, with its own length and blocks."""

    def __init__(self, seed: int, live: bool = False, name: str = "bench", **params: Any) -> None:
        rng = np.random.default_rng(seed)
        samples = rng.uniform(-1, 1, int(rng.integers(40_000, 120_000))).astype(np.float32)
        first = int(rng.integers(0, 30_000))
        gaps = ((first, int(rng.integers(1, 20_000)), "xrun"),) if seed % 3 else ()
        player = Player("in", samples, tuple(map(int, rng.integers(100, 5000, 4))), gaps, live)
        self.backbone = Backbone("backbone", **params)
        self.predictions, self.embeddings = Recorder("p", Prediction), Recorder("e")
        nodes: list[Node] = [
            player,
            MelSpectrogram("mel"),
            self.backbone,
            self.predictions,
            self.embeddings,
        ]
        edges = [("in", "mel"), ("mel", "backbone")]
        edges += [("backbone.predictions", "p"), ("backbone.embeddings", "e")]
        self.graph = Graph(name, nodes, edges)

    def marks(self) -> set[tuple[Any, ...]]:
        """Gaps, and the tokens that were skipped."""
        found: set[tuple[Any, ...]] = set()
        for mark in self.embeddings.marks:
            if isinstance(mark, Gap):
                found.add((mark.start, mark.stop, mark.reason, mark.source))
            elif isinstance(mark, Skip):
                found |= {(n, mark.reason) for n in range(mark.start, mark.stop)}
        return found

    def assert_same(self, other: NoiseStream, tolerance: float) -> None:
        """The same tokens, to `tolerance`, and the same marks."""
        assert self.embeddings.tokens.keys() == other.embeddings.tokens.keys()
        assert len(self.embeddings.tokens) > 4
        for number, expected in other.embeddings.tokens.items():
            np.testing.assert_allclose(
                self.embeddings.tokens[number], expected, rtol=0, atol=tolerance
            )
            (found,), (scores,) = (each.predictions.tokens[number].scores for each in (self, other))
            np.testing.assert_allclose(
                found.activations, scores.activations, rtol=0, atol=tolerance
            )
            assert (found.head, found.labels, found.model) == (
                scores.head,
                scores.labels,
                scores.model,
            )
        assert self.marks() == other.marks()
        assert self.backbone.counts == other.backbone.counts
