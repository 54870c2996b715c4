"""The backbone: it refuses what does not fit, and says how; sessions are shared."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from auricle.engine.graph import Graph
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player, Recorder
from auricle.errors import AuricleError, ConfigError, GraphError
from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.sessions import open_session
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Prediction
from auricle.nodes.signal.mel import mel_spectrogram
from tests.tiny import LABELS, make_backbone


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("models") / "tiny")


def changed(tiny: Path, folder: Path, **fields: object) -> Path:
    """A copy of the model whose card says something else."""
    shutil.copytree(tiny, folder)
    card = json.loads((folder / "card.json").read_text())
    for name, value in fields.items():
        part, _, key = name.partition("__")
        if key:
            card[part][key] = value
        else:
            card[name] = value
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_numbers_are_those_of_the_model(tiny: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    predictions, embeddings = Recorder("p", Prediction), Recorder("e")
    backbone = Backbone("backbone", model=str(tiny), hop_size=7, kind="instruments")
    nodes = [Player("in", samples), MelSpectrogram("mel"), backbone, predictions, embeddings]
    edges = [
        ("in", "mel"),
        ("mel", "backbone"),
        ("backbone.predictions", "p"),
        ("backbone.embeddings", "e"),
    ]
    run_offline(Graph("g", nodes, edges))
    mel = mel_spectrogram(samples, FRONT_ENDS["musicnn"])
    segments = np.stack([mel[n : n + 40] for n in range(0, len(mel) - 39, 7)])
    session = onnxruntime.InferenceSession(tiny / "model.onnx", providers=["CPUExecutionProvider"])
    activations, expected = session.run(["activations", "embeddings"], {"mel": segments})
    got = [predictions.tokens[n].scores[0] for n in range(len(segments))]
    # The same program on the same numbers, in batches of another size.
    np.testing.assert_allclose(
        [scores.activations for scores in got], activations, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        [embeddings.tokens[n] for n in range(len(segments))], expected, rtol=1e-4, atol=1e-5
    )
    assert (got[0].head, got[0].labels, got[0].model) == ("instruments", LABELS, "tiny")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"front_end__hop_size": 160},
            "its card says hop_size=160, and the front end 'musicnn' has 256",
        ),
        ({"front_end__window": "hann periodic"}, "window='hann periodic'"),
        ({"front_end": None}, "is it a backbone"),
    ],
)
def test_card_that_does_not_fit_the_front_end(
    tiny: Path, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match="backbone: tiny: ") as caught:
        Backbone("backbone", model=str(changed(tiny, tmp_path / "model", **fields)))
    assert message in str(caught.value)


def test_other_front_end_is_refused_with_both_ends(tiny: Path) -> None:
    nodes = [
        Player("in", np.zeros(10, np.float32)),
        MelSpectrogram("mel", front_end="vggish"),
        Backbone("b", model=str(tiny)),
    ]
    with pytest.raises(
        GraphError, match=r"mel.mel -> b.mel: .*64 mel_vggish at 100 Hz.*96 mel_musicnn"
    ):
        Graph("g", nodes, [("in", "mel"), ("mel", "b")])


def test_model_that_was_changed_is_not_run(tiny: Path, tmp_path: Path) -> None:
    folder = changed(tiny, tmp_path / "model", sha256="0" * 64)
    with pytest.raises(AuricleError, match=r"b: model 'tiny': .*model.onnx is damaged"):
        Backbone("b", model=str(folder)).start()


def test_model_that_is_no_model(tiny: Path, tmp_path: Path) -> None:
    folder = changed(tiny, tmp_path / "model", sha256=None)
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(AuricleError, match=r"b: tiny: .*cannot be loaded") as caught:
        Backbone("b", model=str(folder)).start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("providers", "name"),
    [
        (["Abacus"], "Abacus"),
        (["cpu", "Abacus"], "Abacus"),
        (["cuda"], "cuda"),
        (["CUDAExecutionProvider"], "CUDAExecutionProvider"),
    ],
)
def test_provider_that_is_not_there(tiny: Path, providers: list[str], name: str) -> None:
    if name != "Abacus" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    says = f"^b: providers: no {name!r} here; there are: .*CPUExecution"
    with pytest.raises(ConfigError, match=says):
        Backbone("b", model=str(tiny), providers=providers).start()


def test_providers_that_are_not_here_are_passed_over(
    tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    Backbone("b", model=str(tiny), providers=["cuda", "cpu"], incremental=False).start()
    assert caplog.messages == [
        f"tiny: {tiny}/model.onnx: no CUDAExecutionProvider here; it runs on CPUExecutionProvider"
    ]


def test_streams_share_one_session(tiny: Path) -> None:
    first = open_session(tiny, ("cpu",), 1)
    assert open_session(tiny, ("CPUExecutionProvider",), 1) is first
    assert open_session(tiny, ("cpu",), 2) is not first
