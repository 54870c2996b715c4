"""What models say of a corpus, stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="manifests are Parquet")

from auricle.errors import TrainingError
from auricle.models.inference.sessions import open_session
from auricle.models.inference.whole import WholeInference
from auricle.tagging import FileTagger
from auricle.training.data.features import compute_features, open_features
from auricle.training.data.manifest import Track
from auricle.training.data.outputs import Outputs, store_outputs
from tests.tiny import LABELS, SIZE, make_backbone
from tests.training.music import write_music


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, music, and its features; one track is shorter than a segment."""
    folder = tmp_path_factory.mktemp("corpus")
    tracks = [
        Track(name, write_music(folder / f"{name}.wav", seconds, seed), seconds)
        for seed, (name, seconds) in enumerate([("a", 3.0), ("b", 2.0), ("short", 0.3)])
    ]
    compute_features(tracks, folder / "features", workers=1)
    make_backbone(folder / "model")
    return folder


def stored(
    corpus: Path, folder: Path, hop_size: int | None = None, tracks: str = "a b short"
) -> Outputs:
    names = tracks.split()
    store_outputs(corpus / "features", names, corpus / "model", folder, hop_size, workers=2)
    return Outputs(folder)


@pytest.mark.parametrize("hop_size", [None, 40, 7])
def test_they_are_what_the_model_says_of_each_segment(
    corpus: Path, tmp_path: Path, hop_size: int | None
) -> None:
    found = stored(corpus, tmp_path / "o", hop_size)
    hop = hop_size or 13
    assert (found.hop_size, found.segment_size, found.card.classes) == (hop, 40, LABELS)
    inference = WholeInference(open_session(corpus / "model", ("CPUExecutionProvider",), 1))
    for name, frames in open_features(corpus / "features").items():
        starts = range(0, len(frames) - 40 + 1, hop)
        assert found.activations[name].shape == (len(starts), len(LABELS))
        assert found.embeddings[name].shape == (len(starts), SIZE)
        for index, start in enumerate(starts):
            segment = frames[start : start + 40].astype(np.float32)
            expected = inference.run(["activations", "embeddings"], start, segment)
            # What float16 rounds, of values about 1.
            np.testing.assert_allclose(
                found.activations[name][index], expected[0].ravel(), atol=5e-4
            )
            np.testing.assert_allclose(
                found.embeddings[name][index], expected[1].ravel(), atol=2e-3
            )
    assert len(found.activations["short"]) == 0
    assert len(found.activations["a"]) >= 4


def test_they_are_what_tagging_the_file_says(corpus: Path, tmp_path: Path) -> None:
    found = stored(corpus, tmp_path / "o")
    segments = list(FileTagger(corpus / "a.wav", str(corpus / "model"), embeddings=True))
    ours = found.activations["a"]
    assert (
        abs(len(segments) - len(ours)) <= 1
    )  # the engine also takes one that ends in the file's last frame
    count = min(len(segments), len(ours))
    expected = [[segment.activations[label] for label in LABELS] for segment in segments[:count]]
    # Of features in float16.
    np.testing.assert_allclose(ours[:count], expected, rtol=0, atol=2e-3)
    assert np.ptp(np.array(expected), axis=0).max() > 0.01


def test_what_is_there_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    stored(corpus, tmp_path / "o", tracks="a")
    shard = (tmp_path / "o" / "00000.f16").stat()
    heard: list[str] = []
    names = ["a", "b", "nobody"]
    store_outputs(corpus / "features", names, corpus / "model", tmp_path / "o", report=heard.append)
    assert sorted(heard) == sorted(names)
    assert set(Outputs(tmp_path / "o").embeddings) == {"a", "b"}
    assert (tmp_path / "o" / "00000.f16").stat() == shard
    with pytest.raises(TrainingError, match="choose another folder"):
        stored(corpus, tmp_path / "o", hop_size=5)


def test_features_that_the_model_does_not_take(corpus: Path, tmp_path: Path) -> None:
    tracks = [Track("a", corpus / "a.wav", 3.0)]
    compute_features(tracks, tmp_path / "other", "vggish", workers=1)
    with pytest.raises(
        TrainingError, match=r"tiny: takes mel frames of musicnn; .*other has those of vggish"
    ):
        store_outputs(tmp_path / "other", ["a"], corpus / "model", tmp_path / "o")


def test_a_model_with_activations_alone(corpus: Path, tmp_path: Path) -> None:
    model = make_backbone(tmp_path / "model")
    card = json.loads((model / "card.json").read_text())
    card["schema"]["outputs"] = card["schema"]["outputs"][:1]
    (model / "card.json").write_text(json.dumps(card))
    store_outputs(corpus / "features", ["a"], model, tmp_path / "o")
    found = Outputs(tmp_path / "o")
    assert len(found.embeddings) == 0
    assert "a" not in found.embeddings
    assert found.activations["a"].shape[1] == len(LABELS)


def test_rows_that_are_no_outputs(corpus: Path) -> None:
    with pytest.raises(TrainingError, match="features: not outputs of a model"):
        Outputs(corpus / "features")
