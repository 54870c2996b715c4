"""Stored outputs of models, without a model having run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from auricle.models.card import Card, FrontEndSpec, InferenceSpec, Schema, TensorSpec
from auricle.train import cli
from auricle.training.data.store import StoreWriter


@dataclass
class Stored:
    """What is to be stored, of one model; embeddings or activations may be missing."""

    folder: Path
    embeddings: Mapping[str, Any]
    classes: tuple[str, ...] = ("x",)
    activations: Mapping[str, Any] = field(default_factory=dict)
    hop_size: int = 62

    def write(self) -> None:
        """As `auricle.training.data.outputs.store_outputs` leaves it."""
        kinds = {"embeddings": self.embeddings, "activations": self.activations}
        kinds = {name: rows for name, rows in kinds.items() if rows}
        sizes = {name: next(iter(rows.values())).shape[1] for name, rows in kinds.items()}
        card = Card(
            name=self.folder.name,
            type="t",
            version="1",
            classes=self.classes,
            io=Schema(inputs=(TensorSpec(name="i"),), outputs=(TensorSpec(name="o"),)),
            inference=InferenceSpec(sample_rate=16000),
            front_end=FrontEndSpec.of("musicnn"),
            segment_size=125,
        )
        about = {
            "card": card.model_dump(mode="json", by_alias=True, exclude_none=True),
            "hop_size": self.hop_size,
            "columns": list(sizes.items()),
        }
        with StoreWriter(self.folder, sum(sizes.values()), about) as writer:
            for track_id in next(iter(kinds.values())):
                writer.add(
                    track_id, np.concatenate([rows[track_id] for rows in kinds.values()], axis=1)
                )


def write(*outputs: Stored) -> None:
    """Put them in their folders."""
    for each in outputs:
        each.write()


def command(*arguments: str | Path) -> Result:
    """Run `auricle-train`."""
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], prog_name="auricle-train"
    )
