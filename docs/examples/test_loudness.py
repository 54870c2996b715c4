"""What `Loudness` learns, on a small corpus of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loudness import Loudness

from auricle.errors import RecipeError
from auricle.training.run.fit import fit, make_system
from auricle.training.run.recipes import load_recipe
from auricle.training.testing import make_material

FILE = Path(__file__).with_name("loudness.yaml")
SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 4, "segment_size": 32}


def test_a_batch_has_segments_and_their_loudness(tmp_path: Path) -> None:
    objective = Loudness(load_recipe(FILE, SMALL), make_material(tmp_path))
    batch = objective.batches("train", epoch=0)[0]
    assert batch["mel"].shape == (4, 32, 96)
    np.testing.assert_allclose(batch["loudness"], batch["mel"].mean((1, 2)), rtol=1e-6)


def test_every_epoch_can_be_made_again(tmp_path: Path) -> None:
    objective = Loudness(load_recipe(FILE, SMALL), make_material(tmp_path))
    one, again, next_one = (objective.batches("train", epoch)[1]["mel"] for epoch in (0, 0, 1))
    assert one.equal(again)
    assert not one.equal(next_one)


def test_it_is_trained_as_the_recipe_says(tmp_path: Path) -> None:
    recipe, material = load_recipe(FILE, SMALL), make_material(tmp_path / "features")
    system = make_system(Loudness(recipe, material))
    batch = Loudness(recipe, material).batches("validation", 0)[0]
    before = system.loss(batch).item()
    figures = fit(recipe, material, tmp_path / "run", accelerator="cpu", progress=False)
    assert figures["validation/loss"] < before


def test_a_scale_is_positive() -> None:
    with pytest.raises(RecipeError, match=r"objective\.scale=0: input should be greater than 0"):
        load_recipe(FILE, {"objective.scale": 0})
