"""From a run to a model that the engine runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained with torch")
pytest.importorskip("lightning", reason="networks are trained with Lightning")
pytest.importorskip("pyarrow", reason="manifests are Parquet")
pytest.importorskip("onnxscript", reason="torch's exporter needs it")

import torch
from click.testing import CliRunner

from auricle.errors import TrainingError
from auricle.models.front_end import FRONT_ENDS
from auricle.models.networks.maest import Maest
from auricle.models.registry import check
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.nodes.signal.reading import read_samples
from auricle.tagging import FileTagger
from auricle.train import cli
from auricle.training.recipe import Recipe
from auricle.training.run.export import export_run
from auricle.training.run.fit import fit
from auricle.training.run.folder import load_run
from auricle.training.testing import make_material
from tests.training.runs import MAEST, RESNET, TAGS, recipe

DEMO = Path(__file__).parents[3] / "graphs" / "demo" / "demo.ogg"
TRIED = 5

SMALL: dict[str, Any] = {"batch_size": 8, "epochs": 1, "segment_size": 64, "mean": 2.0, "std": 2.5}
RECIPES = {
    "resnet10": recipe(TAGS, {**RESNET, "widths": [4, 8, 8, 16, 32]}, **SMALL),
    "maest": recipe(TAGS, MAEST, **SMALL),
    "contrast": recipe({"kind": "associations", "weights": {"track": 1.0}, "width": 8}, **SMALL),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each recipe."""
    folder = tmp_path_factory.mktemp("runs")
    whole = replace(make_material(folder / "features"), name="music")
    torch.set_num_threads(1)
    for name, chosen in RECIPES.items():
        fit(chosen, whole, folder / name, accelerator="cpu", progress=False)
    return {name: folder / name for name in RECIPES}


def heard(run: Path, size: int, hop_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Activations and embeddings, by torch, of the first segments of the demo's mel frames."""
    chosen, network, _ = load_run(run)
    front_end = FRONT_ENDS["musicnn"]
    frames = mel_spectrogram(read_samples(DEMO, front_end.sample_rate), front_end)
    segments = np.stack([frames[i * hop_size :][:size] for i in range(TRIED)])
    mel = torch.from_numpy((segments - chosen.mean) / chosen.std).float()
    with torch.no_grad():
        logits, embeddings = network(mel)
        if isinstance(network, Maest):
            embeddings = network.embed(mel, block=network.config.depth - 1)
    return logits.sigmoid().numpy(), embeddings.numpy()


@pytest.mark.parametrize(
    ("name", "precision", "atol"),
    [
        ("resnet10", "fp32", 1e-4),
        # Weights of 11 bits are wrong by 0.02 %, and errors add up over ten layers.
        ("resnet10", "fp16", 1e-3),
        ("maest", "fp32", 1e-4),
    ],
)
def test_torch_and_the_engine_agree_on_music(
    runs: dict[str, Path], tmp_path: Path, name: str, precision: Any, atol: float
) -> None:
    card = export_run(runs[name], tmp_path / "model", "mine", precision, licence="Apache-2.0")
    assert card.segment_size is not None
    assert card.segment_hop_size is not None
    activations, embeddings = heard(runs[name], card.segment_size, card.segment_hop_size)
    tagger = FileTagger(DEMO, str(tmp_path / "model"), embeddings=True)
    found = list(tagger)[:TRIED]
    assert tagger.labels == ("ambient", "techno")
    ours = np.array([[segment.activations[label] for label in tagger.labels] for segment in found])
    np.testing.assert_allclose(ours, activations, rtol=0, atol=atol)
    np.testing.assert_allclose(
        np.array([segment.embeddings for segment in found]), embeddings, rtol=0, atol=atol
    )
    assert np.ptp(embeddings, axis=0).max() > 5 * atol
    assert card.deviation is not None
    assert card.deviation.activations is not None
    assert 0 < card.deviation.activations < atol
    assert card.deviation.cosine is not None
    assert card.deviation.cosine > 1 - atol


def test_the_card_says_where_the_model_comes_from(runs: dict[str, Path], tmp_path: Path) -> None:
    export_run(runs["resnet10"], tmp_path / "m", "mine", "fp16", hop_size=13, licence="Apache-2.0")
    card = check(tmp_path / "m")  # the hash, too
    assert (card.name, card.licence, card.precision) == ("mine", "Apache-2.0", "fp16")
    assert (card.segment_size, card.segment_hop_size) == (64, 13)
    assert card.front_end is not None
    assert (card.front_end.name, card.front_end.mean, card.front_end.std) == ("musicnn", 2.0, 2.5)
    notes = json.loads((runs["resnet10"] / "run.json").read_text())
    assert card.source is not None
    for part in (
        "resnet10",
        f"{notes['parameters']:,} parameters",
        f"commit {notes['commit']}",
        "seed 0",
    ):
        assert part in card.source
    assert card.release_date == notes["began"][:10]
    tracks = {"train": 16, "validation": 8}
    assert card.dataset == {"name": "music", "tracks": tracks, "metrics": notes["figures"]}
    assert card.dataset["metrics"].keys() == {"validation/loss", "validation/average_precision"}
    assert card.description == "A test."


def test_a_contrast_gives_embeddings_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    card = export_run(runs["contrast"], tmp_path / "m", "mine")
    assert card.classes == ()
    assert [spec.name for spec in card.io.outputs] == ["embeddings"]
    assert card.deviation is not None
    assert card.deviation.activations is None
    assert card.segment_hop_size == 62


def test_the_command(runs: dict[str, Path], tmp_path: Path) -> None:
    def export(*arguments: object) -> Any:
        return CliRunner().invoke(cli, ["export", *map(str, arguments)])

    done = export(runs["resnet10"], tmp_path / "student", "--precision", "fp16")
    assert done.exit_code == 0, done.output
    assert f"student: {tmp_path}/student, largest difference of an activation" in done.output
    assert f"try it: auricle tag song.mp3 --model {tmp_path}/student" in done.output
    again = export(runs["resnet10"], tmp_path / "student")
    assert again.exit_code == 1
    assert again.stderr.endswith(f"{tmp_path}/student exists already\n")
    (tmp_path / "unfinished").mkdir()
    refused = export(tmp_path / "unfinished", tmp_path / "m")
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "unfinished: not a finished run: No such file or directory" in refused.stderr
    assert not (tmp_path / "m").exists()


def test_music_that_is_gone_or_shorter_than_a_segment(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    whole = make_material(tmp_path / "features")
    chosen: Recipe = recipe(TAGS, **{**SMALL, "segment_size": 200})
    fit(chosen, whole, tmp_path / "run", accelerator="cpu", progress=False)
    card = export_run(tmp_path / "run", tmp_path / "short", "mine")
    assert card.deviation is not None
    (tmp_path / "features" / "store.json").unlink()
    assert export_run(tmp_path / "run", tmp_path / "gone", "mine").deviation is None


def test_an_unknown_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere: not a finished run"):
        export_run(tmp_path / "nowhere", tmp_path / "m", "mine")
