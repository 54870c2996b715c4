"""A split model computes what the model does."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from auricle.errors import ModelError
from auricle.models.convert.musicnn import build_musicnn, build_vgg
from auricle.models.inference.split import FEATURES, FRAMES, split
from tests.models.plain_networks import random_weights

SEGMENT = 187

TOLERANCE = 1e-5
"""The sums are the same; a runtime may add them up in another order for another number of frames.
"""


def session(model: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def musicnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "musicnn.onnx"
    path.write_bytes(build_musicnn(random_weights("musicnn"), {}))
    return path


@pytest.fixture(scope="module")
def mel() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 4, (600, 96)).astype(np.float32)


@pytest.mark.parametrize("hop_size", [1, 16, 59, 60, 93, 123, 124, 155, 156, 180])
def test_parts_give_what_the_model_gives(musicnn: Path, mel: np.ndarray, hop_size: int) -> None:
    parts = split(musicnn, hop_size)
    assert parts is not None
    first, stop = 200, 200 + SEGMENT
    frames = mel[None, stop - parts.width - parts.history : stop]
    (features,) = session(parts.front).run(None, {FRAMES: frames})
    assert features.shape == (1, parts.channels, parts.width, 1)
    segment = mel[None, first:stop]
    results = session(parts.back).run(
        ["activations", "embeddings"], {"mel": segment, FEATURES: features}
    )
    expected = session(musicnn.read_bytes()).run(["activations", "embeddings"], {"mel": segment})
    for result, whole in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, whole, rtol=TOLERANCE, atol=TOLERANCE)


def test_frames_before_the_segment_do_not_matter(musicnn: Path, mel: np.ndarray) -> None:
    """The front reads them for columns that the segment has no use for."""
    parts = split(musicnn, 16)
    assert parts is not None
    first, stop = 200, 200 + SEGMENT
    frames = mel[None, stop - parts.width - parts.history : stop].copy()
    assert frames.shape[1] > SEGMENT
    back, outputs = session(parts.back), []
    for value in (0.0, 1e3):
        frames[:, : frames.shape[1] - SEGMENT] = value
        (features,) = session(parts.front).run(None, {FRAMES: frames})
        outputs.append(back.run(None, {"mel": mel[None, first:stop], FEATURES: features})[0])
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    ("hop_size", "history", "channels"),
    [(59, 127, 608), (60, 63, 544), (124, 31, 480), (156, 6, 416)],
)
def test_layers_are_shared_where_segments_overlap_enough(
    musicnn: Path, hop_size: int, history: int, channels: int
) -> None:
    """A layer of k frames has 187 - k + 1 inner outputs; 7, 32, 64 and 128 frames are shared."""
    parts = split(musicnn, hop_size)
    assert parts is not None
    assert (parts.history, parts.channels, parts.width) == (history, channels, 181)


def test_segments_too_far_apart_share_nothing(musicnn: Path) -> None:
    assert split(musicnn, 181) is None


def test_model_that_is_not_local_in_time(tmp_path: Path) -> None:
    path = tmp_path / "vgg.onnx"
    path.write_bytes(build_vgg(random_weights("vgg"), {}))
    assert split(path, 16) is None


@pytest.mark.parametrize(
    "change",
    [
        {"strides": [2, 1]},
        {"dilations": [2, 1]},
        {"pads": [0, 0, 6, 0]},
        {"pads": [3, 1, 3, 1]},
    ],
    ids=str,
)
def test_layers_of_another_form_are_left_whole(
    tmp_path: Path, change: dict[str, list[int]]
) -> None:
    attributes = {"kernel_shape": [7, 96], "pads": [3, 0, 3, 0], **change}
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["mel", "one"], ["image"]),
            helper.make_node("Conv", ["image", "kernel"], ["conv"], **attributes),
            helper.make_node("MaxPool", ["conv"], ["pool"], kernel_shape=[1, 1]),
            helper.make_node("Concat", ["pool"], ["y"], axis=1),
        ],
        "other",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 40, 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.ones((2, 1, 7, 96), np.float32), "kernel"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    path = tmp_path / "other.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert split(path, 5) is None


def test_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        split(path, 16)
    assert "\n" not in str(caught.value)
