"""Stored outputs of models as the commands open them, without a model having run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auricle.train import cli
from models.card import Card, FrontEnd, Inference, Schema, TensorSpec

FRONT_END = FrontEnd(
    name="musicnn",
    sample_rate=16000,
    frame_size=512,
    hop_size=256,
    n_mels=96,
    window="hann",
    compression="log",
)


@dataclass
class Stored:
    """What `training.outputs.Outputs` has that the commands read."""

    folder: Path
    embeddings: Mapping[str, Any]
    classes: tuple[str, ...] = ("x",)
    activations: Mapping[str, Any] = field(default_factory=dict)
    hop_size: int = 62

    @property
    def card(self) -> Card:
        return Card(
            name=self.folder.name,
            type="t",
            version="1",
            classes=self.classes,
            io=Schema(inputs=(TensorSpec(name="i"),), outputs=(TensorSpec(name="o"),)),
            inference=Inference(sample_rate=16000),
            front_end=FRONT_END,
            segment_size=125,
        )


def use(monkeypatch: pytest.MonkeyPatch, *outputs: Stored) -> None:
    """Let the commands find these at their folders."""
    module = ModuleType("training.outputs")
    found = {output.folder: output for output in outputs}
    module.Outputs = found.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "training.outputs", module)
    for output in outputs:
        output.folder.mkdir(exist_ok=True)


def command(*arguments: str | Path) -> Result:
    """Run `auricle-train`."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="auricle-train")
