"""What many shallow heads add to a backbone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from auricle.errors import ConfigError
from auricle.models.front_end import FRONT_ENDS
from auricle.models.heads.head import Mlp, save_head
from auricle.models.heads.mlp import Layer
from auricle.models.registry import info
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.predictions import Prediction
from bench.measures.backbone import BLOCK, frames_of_music
from bench.replay import Kept, Replay, run_through
from bench.report import Report
from bench.timing import Progress, Spread, alternate, ratios, silent

ALONE = "backbone alone"
HIDDEN = 100

TOLERANCE = 1e-5
"""Of activations: one product for all adds in another order than one for each."""


def measure(
    model: str = "musicnn-mtt",
    count: int = 50,
    hop_size: int | None = None,
    segments: int = 48,
    runs: int = 5,
    progress: Progress = silent,
) -> Report:
    """Segments through a backbone, with and without `count` heads of 100 hidden units and 2 to 50
    labels.

    Args:
        model: An installed model by name, or its folder.
        count: How many heads, with weights from a seed.
        hop_size: Frames from one segment to the next; the model card's, if left out.
        segments: How many make a round.
        runs: Rounds that count.
        progress: Called with a line that says how far it is.

    Raises:
        ConfigError: A model without embeddings.
    """
    card = info(model)
    hop = hop_size or card.segment_hop_size or 1
    if not card.embedding_size:
        raise ConfigError(f"{card.name}: has no embeddings for heads to take")
    assert card.front_end is not None
    front_end = FRONT_ENDS[card.front_end.name]
    mel = frames_of_music((card.segment_size or 1) + (segments - 1) * hop, front_end.name)
    with_heads = f"backbone and {count} heads"
    spent_in_heads: list[float] = []
    kept: dict[str, Kept] = {}

    with tempfile.TemporaryDirectory(prefix="auricle-bench-") as folder:
        heads = make_heads(Path(folder), count, card.embedding_size, card.name)
        paths = tuple(str(Path(folder) / head.card.name) for head in heads)

        def through(names: tuple[str, ...]) -> Callable[[], float]:
            def run() -> float:
                source = Replay("mel", mel, (mel_axis(front_end),), front_end.rate, BLOCK)
                nodes = [source, Backbone("backbone", model=model, hop_size=hop_size)]
                edges = [("mel", "backbone")]
                if names:
                    kept["embeddings"], kept["scores"] = (
                        Kept("embeddings", None),
                        Kept("scores", Prediction),
                    )
                    nodes += [Heads("heads", heads=names), *kept.values()]
                    edges += [
                        ("backbone.embeddings", "heads"),
                        ("backbone.embeddings", "embeddings"),
                    ]
                    edges += [("heads", "scores")]
                spent = run_through(nodes, edges).spent_ns
                if names:
                    spent_in_heads.append(spent["heads"] / 1e9 / segments)
                # What the graph of the bench adds at both ends is not counted.
                return (spent["backbone"] + spent.get("heads", 0)) / 1e9 / segments

            return run

        measured = alternate(
            {ALONE: through(()), with_heads: through(paths)}, runs, progress=progress
        )

    report = Report(
        "heads",
        "One segment through a backbone, with and without heads",
        {
            "model": card.name,
            "heads": count,
            "hop_frames": hop,
            "segments": segments,
            # Its threads wait for each other, which is slow where another process holds a core.
            "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
            "runs": runs,
        },
        reference=ALONE,
    )
    percent = Spread.of(
        [100 * (a / b - 1) for a, b in zip(measured[with_heads], measured[ALONE], strict=True)]
    )
    only = Spread.of(spent_in_heads[-runs:])
    report.row(ALONE, {"ms a segment": Spread.of(measured[ALONE]).scaled(1e3), "overhead %": None})
    report.row(
        with_heads,
        {
            "ms a segment": Spread.of(measured[with_heads]).scaled(1e3),
            "overhead %": percent,
            "error": _error(heads, kept["embeddings"], kept["scores"]),
        },
    )
    share = ratios(spent_in_heads[-runs:], measured[ALONE]).scaled(100)
    report.row("... the heads node alone", {"ms a segment": only.scaled(1e3), "overhead %": share})
    report.target(f"{count} heads: overhead %", percent, at_most=5)
    error = report.rows[with_heads]["error"]
    report.target("difference from each head by itself", error, at_most=TOLERANCE, correctness=True)
    report.notes.append(
        "the overhead compares two times and so takes up their noise; the node alone is the lower bound"
    )
    return report


def make_heads(
    folder: Path, count: int, embedding_size: int, backbone: str, seed: int = 0
) -> list[Mlp]:
    """Write `count` heads, `embedding_size` to 100 to n, with n from 2 to 50; weights from a seed."""
    rng = np.random.default_rng(seed)
    heads = []
    for number in range(count):
        labels = 2 + (48 * number) // max(1, count - 1)

        def layer(size_in: int, size_out: int, activation: str) -> Layer:
            weight = rng.normal(0, size_in**-0.5, (size_in, size_out)).astype(np.float32)
            return Layer(weight, np.zeros(size_out, np.float32), activation)  # type: ignore[arg-type]

        layers = [layer(embedding_size, HIDDEN, "relu"), layer(HIDDEN, labels, "sigmoid")]
        name = f"head-{number}"
        names = [f"label-{label}" for label in range(labels)]
        heads.append(
            save_head(folder / name, layers, name=name, labels=names, embedding_model=backbone)
        )
    return heads


def _error(heads: list[Mlp], embeddings: Kept, scores: Kept) -> float:
    """Largest difference between the node's activations and those of each head run singly."""
    every = np.array(embeddings.tokens)
    if len(every) != len(scores.tokens):
        return float("inf")
    worst = 0.0
    for number, head in enumerate(heads):
        together = np.array([prediction.scores[number].activations for prediction in scores.tokens])
        worst = max(worst, float(np.abs(together - head(every)).max()))
    return worst
