"""The backbone: it refuses what does not fit, and says how; sessions are shared."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from auricle.engine.graph import Graph
from auricle.engine.marks import Remark, Skip
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player, Recorder
from auricle.errors import AuricleError, ConfigError, GraphError
from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.sessions import open_session
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import SILENCE, Prediction
from auricle.nodes.signal.mel import mel_spectrogram
from tests.tiny import LABELS, make_backbone, make_head, make_transformer


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


def broken(tiny: Path, folder: Path, least: float) -> Path:
    """A copy of the model that gives NaN where the sum of its embedding is less than `least`."""
    changed(tiny, folder, sha256=None)
    model = onnx.load(folder / "model.onnx")
    (made,) = (node for node in model.graph.node if "embeddings" in node.output)
    made.output[0] = "before"
    place = list(model.graph.node).index(made) + 1
    more = [
        helper.make_node("ReduceSum", ["before", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sub", ["sum", "least"], ["excess"]),
        helper.make_node("Sqrt", ["excess"], ["root"]),
        helper.make_node("Mul", ["before", "root"], ["embeddings"]),
    ]
    for node in reversed(more):
        model.graph.node.insert(place, node)
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([[least]], np.float32), "least")
    )
    onnx.save(model, folder / "model.onnx")
    return folder


def run(folder: Path, segments: NDArray[np.float32]) -> NDArray[np.float32]:
    """The embeddings of segments, by the model itself."""
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["embeddings"], {"mel": segments})[0])


@pytest.mark.parametrize("batch", [None, 4])
def test_segments_for_which_the_model_gives_nan_are_skipped(
    tiny: Path, tmp_path: Path, batch: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)
    samples *= np.linspace(0, 4, len(samples), dtype=np.float32) ** 4
    mel = mel_spectrogram(samples, FRONT_ENDS["musicnn"])
    segments = np.stack([mel[n : n + 40] for n in range(0, len(mel) - 39, 7)])
    sums = np.sort(run(tiny, segments).sum(axis=1))
    middle = len(sums) // 2
    # Between two segments, so that rounding decides none of them.
    folder = broken(tiny, tmp_path / "broken", (sums[middle] + sums[middle + 1]) / 2)
    finite = np.isfinite(run(folder, segments)).all(axis=1)
    assert np.count_nonzero(finite) == len(sums) - middle - 1

    predictions, embeddings = Recorder("p", Prediction), Recorder("e")
    backbone = Backbone("backbone", model=str(folder), hop_size=7, batch=batch)
    nodes = [Player("in", samples), MelSpectrogram("mel"), backbone, predictions, embeddings]
    edges = [
        ("in", "mel"),
        ("mel", "backbone"),
        ("backbone.predictions", "p"),
        ("backbone.embeddings", "e"),
    ]
    run_offline(Graph("g", nodes, edges))
    assert (
        sorted(embeddings.tokens) == sorted(predictions.tokens) == np.flatnonzero(finite).tolist()
    )
    assert backbone.counts["nan"] == np.count_nonzero(~finite)
    skipped = [mark for mark in embeddings.marks if isinstance(mark, Skip)]
    assert {mark.reason for mark in skipped} == {"nan"}
    assert sum(mark.stop - mark.start for mark in skipped) == backbone.counts["nan"]
    assert caplog.text.count("tiny gave NaN or infinity") == 1


@pytest.mark.parametrize(
    "params", [{"deadline_s": float("nan")}, {"batch_wait_s": float("inf")}, {"threads": 3000}]
)
def test_parameters_out_of_any_use_are_refused(tiny: Path, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"backbone: {next(iter(params))}="):
        Backbone("backbone", model=str(tiny), **params)


@pytest.mark.parametrize("batch", [None, 3], ids=["alone", "in batches"])
@pytest.mark.parametrize("model", ["tiny", "transformer"])
def test_segments_of_silence_are_flagged_through_heads_and_all_others_are_not(
    tiny: Path, tmp_path: Path, batch: int | None, model: str
) -> None:
    """Also where the model gets them normalised; the numbers are what they were."""
    folder = tiny if model == "tiny" else make_transformer(tmp_path / "transformer")
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 80_000).astype(np.float32)
    first, last = 20_000, 60_000
    samples[first:last] = 0
    recorders = [Recorder("p", Prediction), Recorder("e"), Recorder("h", Prediction)]
    backbone = Backbone("backbone", model=str(folder), hop_size=10, batch=batch)
    heads = Heads("heads", heads=(str(make_head(tmp_path / "mood")),))
    nodes = [Player("in", samples), MelSpectrogram("mel"), backbone, heads, *recorders]
    edges = [
        ("in", "mel"),
        ("mel", "backbone"),
        ("backbone.predictions", "p"),
        ("backbone.embeddings", "e"),
        ("backbone.embeddings", "heads"),
        ("heads", "h"),
    ]
    run_offline(Graph("g", nodes, edges))
    mel = mel_spectrogram(samples, FRONT_ENDS["musicnn"])
    size = backbone.segment_size
    silent = [n for n in range(len(recorders[0].tokens)) if not mel[10 * n : 10 * n + size].any()]
    assert 0 < len(silent) < len(recorders[0].tokens)
    for recorder in recorders:
        remarks = [mark for mark in recorder.marks if isinstance(mark, Remark)]
        assert [mark.start - recorder.port.reader.stream.start for mark in remarks] == silent
        assert {mark.reason for mark in remarks} == {SILENCE}
        assert all(first - 512 <= mark.source[0] < mark.source[1] <= last for mark in remarks)
