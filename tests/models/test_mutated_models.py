"""Model folders with slips, damage and traps in them: refused in one line, or run."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from auricle.errors import AuricleError
from auricle.models import registry
from auricle.models.heads.head import load_head
from auricle.models.inference.incremental import open_split_session
from auricle.models.inference.sessions import open_session
from tests.mutation import mutated_bytes, mutated_json
from tests.tiny import make_backbone, make_head


def write_model(folder: Path, card: Any, model: bytes) -> Path:
    """A model folder whose card has the hash of its file, if it is a card at all."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if isinstance(card, dict):
        card = {**card, "sha256": hashlib.sha256(model).hexdigest()}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "model.onnx").write_bytes(model)
    return folder


def checked(error: AuricleError) -> str:
    """The text of a refusal, which is one line."""
    assert str(error).isprintable()
    return str(error)


def try_model(folder: Path) -> str | None:
    """Open a model in every way; returns the refusal, if it is refused."""
    try:
        registry.check(folder)
        open_split_session(folder, 13, ("cpu",), 1)
        open_session(folder, ("cpu",), 1)
    except AuricleError as error:
        return checked(error)
    return None


def try_head(folder: Path) -> str | None:
    try:
        load_head(folder)
    except AuricleError as error:
        return checked(error)
    return None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, bytes]:
    """The card and the file of a model."""
    folder = make_backbone(tmp_path_factory.mktemp("models") / "tiny")
    return json.loads((folder / "card.json").read_text()), (folder / "model.onnx").read_bytes()


def try_mutations(folder: Path, model: tuple[Any, bytes], seeds: range) -> None:
    card, data = model
    head = make_head(folder / "head")
    weights = next(path for path in head.iterdir() if path.suffix == ".safetensors")
    head_card, whole = json.loads((head / "card.json").read_text()), weights.read_bytes()
    for seed in seeds:
        rng = random.Random(seed)
        try:
            match rng.randrange(4):
                case 0:
                    try_model(write_model(folder / "m", mutated_json(rng, card), data))
                case 1:
                    try_model(write_model(folder / "m", card, mutated_bytes(rng, data)))
                case 2:
                    (head / "card.json").write_text(json.dumps(mutated_json(rng, head_card)))
                    weights.write_bytes(whole)
                    try_head(head)
                case _:
                    (head / "card.json").write_text(json.dumps(head_card))
                    weights.write_bytes(mutated_bytes(rng, whole))
                    try_head(head)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


def test_mutated_models(tmp_path: Path, model: tuple[Any, bytes]) -> None:
    try_mutations(tmp_path, model, range(150))


@pytest.mark.slow
def test_many_mutated_models(tmp_path: Path, model: tuple[Any, bytes]) -> None:
    try_mutations(tmp_path, model, range(10_000, 12_000))


@pytest.mark.parametrize("name", [".", "..", "...", "a/b", "a\0b", ""])
def test_a_name_of_no_file(tmp_path: Path, model: tuple[Any, bytes], name: str) -> None:
    card, data = model
    refusal = try_model(write_model(tmp_path / "m", {**card, "file": name}, data))
    assert refusal is not None
    assert "file" in refusal


def test_an_input_that_no_memory_could_hold(tmp_path: Path, model: tuple[Any, bytes]) -> None:
    card, data = model
    changed = onnx.load_model_from_string(data)
    for dimension in changed.graph.input[0].type.tensor_type.shape.dim[1:]:
        dimension.dim_value = 100_000
    refusal = try_model(write_model(tmp_path / "m", card, changed.SerializeToString()))
    assert refusal is not None
    assert "has 10000000000 values" in refusal


@pytest.mark.parametrize("name", ["mel", "embeddings", "Sigmoid", "to_label"])
def test_names_in_a_model_that_are_not_utf_8(
    tmp_path: Path, model: tuple[Any, bytes], name: str
) -> None:
    card, data = model
    damaged = data.replace(name.encode(), b"\xff" * len(name))
    folder = write_model(tmp_path / "m", card, damaged)
    assert "not UTF-8" in (try_model(folder) or "")
