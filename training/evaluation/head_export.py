"""From a trained head to a folder that the engine's `Heads` node takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.models.card import Card
from auricle.models.heads.head import Mlp, save_head
from auricle.training.data.tasks import Task
from auricle.training.evaluation.comparison import Result
from auricle.training.evaluation.probe import Probe


def save_probe(
    folder: Path,
    probe: Probe,
    task: Task,
    backbone: Card,
    results: Sequence[Result],
    by_class: Mapping[str, Result],
    *,
    name: str,
    licence: str = "",
) -> Mlp:
    """Write a head folder, replacing an existing one.

    `auricle.models.heads.head.load_head` reads it back.

    Args:
        folder: Folder of the head.
        probe: The head.
        task: Task that it was trained for.
        backbone: Card of the model whose embeddings it takes.
        results: Figures of heads like it on held-out tracks, for the card.
        by_class: Figures of each class, for the card.
        name: Name of the head, in the topics of its predictions.
        licence: SPDX identifier.

    Raises:
        OSError: The folder cannot be written.
    """
    dataset = {
        "name": task.name,
        "size": f"{len(task.targets)} tracks",
        "metrics": {result.metric: _figures(result) for result in results},
        "classes": {label: _figures(result) for label, result in by_class.items()},
    }
    kind = "several classes a track" if task.multilabel else "one class a track"
    protocol = probe.protocol
    return save_head(
        folder,
        probe.layers,
        name=name,
        labels=task.classes,
        embedding_model=backbone.name,
        embedding_sha256=backbone.sha256,
        sample_rate=backbone.inference.sample_rate,
        description=f"{task.name}, {kind}: {', '.join(task.classes)}",
        licence=licence,
        source=f"auricle-train heads, protocol {protocol.name}, {protocol.hidden} hidden units",
        dataset=dataset,
    )


def _figures(result: Result) -> dict[str, Any]:
    return {"mean": result.mean, "deviation": result.deviation, "runs": len(result.values)}
