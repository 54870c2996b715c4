"""A backbone and heads small enough to make in a test, with weights from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.card import Card, FrontEnd, Schema, TensorSpec, save_card
from models.card import Inference as Inferred
from models.files import sha256

LABELS = ("drums", "voice", "piano")
SIZE = 8
"""Length of the embeddings."""


def make_backbone(folder: Path, segment_size: int = 40, hop_size: int = 13, seed: int = 1) -> Path:
    """A model folder: embeddings are products of the mean frame, activations products of those."""
    rng = np.random.default_rng(seed)
    weights = {
        "to_embedding": rng.normal(0, 0.05, (96, SIZE)).astype(np.float32),
        "to_label": rng.normal(size=(SIZE, len(LABELS))).astype(np.float32),
        "axes": np.array([1], np.int64),
    }
    ops = [
        helper.make_node("ReduceMean", ["mel", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "to_embedding"], ["embeddings"]),
        helper.make_node("MatMul", ["embeddings", "to_label"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["activations"]),
    ]
    graph = helper.make_graph(
        ops,
        "tiny",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", segment_size, 96])],
        [
            helper.make_tensor_value_info("activations", TensorProto.FLOAT, ["batch", len(LABELS)]),
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", SIZE]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    card = Card(
        name="tiny",
        type="auto-tagging",
        version="1",
        classes=LABELS,
        schema=Schema(
            inputs=(TensorSpec(name="mel", shape=("batch", segment_size, 96)),),
            outputs=(
                TensorSpec(name="activations", shape=("batch", len(LABELS)), output_purpose="predictions"),
                TensorSpec(name="embeddings", shape=("batch", SIZE), output_purpose="embeddings"),
            ),
        ),
        inference=Inferred(sample_rate=16000),
        file="model.onnx",
        sha256=sha256(folder / "model.onnx"),
        front_end=FrontEnd(
            name="musicnn",
            sample_rate=16000,
            frame_size=512,
            hop_size=256,
            n_mels=96,
            window="hann symmetric",
            compression="log10(1 + 10000 * x)",
        ),
        segment_size=segment_size,
        segment_hop_size=hop_size,
    )
    save_card(card, folder)
    return folder
