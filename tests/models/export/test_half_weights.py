"""Weights in half the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from auricle.models.export.half_weights import halve_weights
from tests.tiny import make_backbone


def outputs(model: onnx.ModelProto, mel: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"mel": mel}))


def test_it_is_the_network_with_rounded_weights(tmp_path: Path) -> None:
    file = make_backbone(tmp_path / "model") / "model.onnx"
    rounded = onnx.load(file)
    large = []
    for tensor in rounded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 1024:
            large.append(tensor.name)
            half = values.astype(np.float16).astype(np.float32)
            assert not np.array_equal(half, values)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    assert large == ["kernel_0"]  # 4 * 7 * 38; the others have 128 values or fewer
    halved = halve_weights(onnx.load(file))
    onnx.checker.check_model(halved)
    mel = np.random.default_rng(0).uniform(0, 4, (2, 40, 96)).astype(np.float32)
    for ours, expected in zip(outputs(halved, mel), outputs(rounded, mel), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)
    kinds = {tensor.name: tensor.data_type for tensor in halved.graph.initializer}
    assert kinds.pop("kernel_0.half") == onnx.TensorProto.FLOAT16
    assert onnx.TensorProto.FLOAT16 not in kinds.values()
    assert halved.ByteSize() < onnx.load(file).ByteSize() - 1.9 * 4 * 7 * 38
