"""Training runs: what they leave, going on after a kill, several processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("lightning", reason="networks are trained with Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")

from safetensors.torch import load_file

from tests.training.runs import MAEST, RESNET, TAGS, material, recipe, tracks, write_features
from training.batches import VALIDATION_EPOCH
from training.errors import TrainingError
from training.fit import fit, load_run
from training.loaders import Loaders, Material
from training.manifest import Manifest
from training.recipe import Recipe
from training.store import Rows, Store

ROOT = Path(__file__).parents[2]

AVERAGED = {
    "mixup": 0.3,
    "spec_augment": {"time_masks": 2, "time_width": 4},
    "averaging": {"begin": 2, "every": 1},
    "schedule": {"name": "warm_up_linear", "warm_up": 2, "decay_from": 2, "decay": 2},
    "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.1},
    "epochs": 4,
}
CONTRAST = {"kind": "associations", "weights": {"track": 0.3, "release": 0.7}, "width": 8}

RECIPES = {
    # Without patience, the rate falls in most epochs.
    "plateau": recipe(TAGS, {**RESNET, "dropout": 0.3}, schedule={"name": "plateau", "patience": 1}, epochs=5),
    "averaged": recipe(TAGS, MAEST, **AVERAGED),
    "cosine": recipe(CONTRAST, schedule={"name": "cosine"}, crops_per_track=2, batches_per_step=2),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Failing(Store):
    """Features that end in an error after some have been read."""

    def __init__(self, folder: Path, good_for: int, error: type[BaseException] = RuntimeError) -> None:
        super().__init__(folder)
        self.good_for, self.error = good_for, error

    def __contains__(self, track_id: object) -> bool:
        return track_id in list(self)

    def __getitem__(self, track_id: str) -> Rows:
        if not self.good_for:
            raise self.error("no more")
        self.good_for -= 1
        return super().__getitem__(track_id)


def reads(chosen: Recipe, whole: Material) -> int:
    """How often features are read in an epoch, its validation included."""
    counting = Failing(whole.features.folder, 10**9)
    loaders = Loaders(chosen, Material(whole.manifest, counting))
    for batches in (loaders.batches("train", 0), loaders.batches("validation", VALIDATION_EPOCH)):
        for number in range(len(batches)):
            batches[number]
    return 10**9 - counting.good_for


def run(chosen: Recipe, whole: Material, folder: Path) -> dict[str, float]:
    return fit(chosen, whole, folder, accelerator="cpu", progress=False)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(one: Path, other: Path, atol: float = 0.0) -> None:
    ours, theirs = load_file(one / "network.safetensors"), load_file(other / "network.safetensors")
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def test_what_a_run_leaves(tmp_path: Path) -> None:
    whole = material(tmp_path / "features")
    chosen = recipe(TAGS, seed=7)
    figures = run(chosen, whole, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("recipe.yaml", "run.json", "last.ckpt", "best.safetensors", "network.safetensors", "metrics.csv"),
        "logs",
    }
    notes = json.loads((tmp_path / "run" / "run.json").read_text())
    assert notes["seed"] == 7
    assert notes["classes"] == ["ambient", "techno"]
    assert notes["tracks"] == {"train": 16, "validation": 8}
    assert notes["figures"] == figures
    assert notes["commit"]
    rows = rows_of(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    # What is left is of the best epoch, and validates as that did.
    best = max(rows, key=lambda row: float(row["validation/average_precision"]))
    assert figures["validation/loss"] == pytest.approx(float(best["validation/loss"]), abs=1e-6)
    loaded, network, _ = load_run(tmp_path / "run")
    assert loaded == chosen
    assert not network.training


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [1.0, 2.0, 2.5])
def test_going_on_is_as_if_nothing_had_been(tmp_path: Path, name: str, epochs: float) -> None:
    chosen, whole = RECIPES[name], material(tmp_path / "features")
    expected = run(chosen, whole, tmp_path / "whole")
    # Once after a while, and then in the first batch.
    for good_for in (int(epochs * reads(chosen, whole)) + 2, 2):
        broken = Material(whole.manifest, Failing(tmp_path / "features", good_for))
        with pytest.raises(RuntimeError, match="no more"):
            run(chosen, broken, tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").exists()
    assert not (tmp_path / "run" / "network.safetensors").exists()
    assert run(chosen, whole, tmp_path / "run") == expected
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")
