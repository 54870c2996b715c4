"""Listing and finding models."""

from pathlib import Path

import numpy as np
import pytest

from auricle.errors import ModelError
from auricle.models import DEFAULT_MODEL, pulling, registry
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from auricle.models.registry import SHIPPED


def test_list_of_models(served: Path) -> None:
    names = ["musicnn-mtt", "musicnn-msd", "vgg-mtt", "vgg-msd"]
    assert [(entry.name, entry.state) for entry in registry.available()] == [
        (name, "missing") for name in names
    ]
    assert not served.exists()  # looking does not write

    folder = pulling.pull("vgg-mtt")
    weight = Layer(np.ones((256, 2), np.float32), np.zeros(2, np.float32), "softmax")
    save_head(
        served / "models/mine", [weight], name="mine", labels=["a", "b"], embedding_model="vgg-mtt"
    )
    entries = {entry.name: entry for entry in registry.available()}
    assert [entry.state for entry in entries.values()] == [
        "missing",
        "missing",
        "installed",
        "missing",
        "installed",
    ]
    assert entries["vgg-mtt"].size_bytes == (folder / "model.onnx").stat().st_size
    assert entries["musicnn-msd"].size_bytes == pytest.approx(3.3e6, rel=0.1)
    assert {entries[name].licence for name in names} == {"ISC"}

    (folder / "model.onnx").write_bytes(b"")
    (served / "models/mine/card.json").write_text("{")
    assert [entry.state for entry in registry.available() if entry.state != "missing"] == [
        "damaged",
        "damaged",
    ]


def test_find(served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match="'vgg-mtt' is not installed; get it with: auricle models pull vgg-mtt"
    ):
        registry.find("vgg-mtt")
    folder = pulling.pull("vgg-mtt")
    assert registry.find("vgg-mtt") == registry.find(folder) == registry.find(str(folder)) == folder

    monkeypatch.chdir(folder.parent.parent)
    assert registry.info("models/vgg-mtt").name == "vgg-mtt"
    with pytest.raises(
        ModelError, match="no model 'abc'; models are: musicnn-mtt, musicnn-msd, vgg-mtt, vgg-msd"
    ):
        registry.find("abc")
    with pytest.raises(ModelError, match=r"models pull NAME"):
        registry.verify("../elsewhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="empty: no model card"):
        registry.find(empty)


def test_the_model_that_auricle_comes_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    (entry,) = [entry for entry in registry.available() if entry.name == DEFAULT_MODEL]
    assert (entry.state, entry.licence) == ("installed", "Apache-2.0")
    assert entry.size_bytes < 10e6
    folder = registry.find(DEFAULT_MODEL)
    assert pulling.pull(DEFAULT_MODEL) == folder
    assert [verdict.problem for verdict in registry.verify() if verdict.name == DEFAULT_MODEL] == [
        None
    ]
    card = registry.info(DEFAULT_MODEL)
    assert len(card.classes) == 100
    assert card.embedding_size == 512
    assert not (tmp_path / "cache").exists()  # nothing is got, and nothing is written


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("musicnn", "musicnn-mtt, musicnn-msd, msd-musicnn, "),
        ("vgg", "vgg-mtt, vgg-msd"),
        ("musicn-mtt", "musicnn-mtt, musicnn-msd"),
        ("auricle", "auricle-small"),
    ],
)
def test_names_near_a_mistyped_one_are_listed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setattr(registry, "SHIPPED", SHIPPED)
    monkeypatch.chdir(cache.parent)  # where there is no folder `auricle`
    for ask in (registry.find, pulling.pull):
        with pytest.raises(ModelError, match=f"'{name}'.*; names near it are: {near}"):
            ask(name)


def test_a_name_that_many_models_contain_lists_some_of_them(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        registry.find("mood")
    listed = str(caught.value).partition("near it are: ")[2].partition(". Give")[0]
    assert len(listed.split(", ")) == 8


def test_a_folder_that_is_missing_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "heads/electronic").mkdir(parents=True)
    with pytest.raises(
        ModelError, match=r"electronik' \(did you mean electronic\?\), where a model"
    ):
        registry.find(tmp_path / "heads/electronik")
    with pytest.raises(ModelError, match=r"haeds/electronic' \(nor '.*haeds'\), where a model"):
        registry.find(tmp_path / "haeds/electronic")
