"""A backbone and heads small enough to make in a test, with weights from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from auricle.models.card import Card, FrontEndSpec, InferenceSpec, Schema, TensorSpec, save_card
from auricle.models.files import sha256
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, PatchGrid, PatchoutLevel

LABELS = ("drums", "voice", "piano")
SIZE = 8
"""Length of the embeddings."""


LAYERS = ((7, 38), (32, 1), (16, 1))
"""Frames and bands of the kernels."""


def make_backbone(folder: Path, segment_size: int = 40, hop_size: int = 13, seed: int = 1) -> Path:
    """Write a model folder.

    The network begins as MusiCNN does, with layers local in time; embeddings are products of the
    features' means, activations products of those.
    """
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[Any]] = {"axis": np.array([1], np.int64)}
    ops: list[onnx.NodeProto] = []
    maps: list[str] = []
    ops.append(helper.make_node("Unsqueeze", ["mel", "axis"], ["image"]))
    for i, (frames, bands) in enumerate(LAYERS):
        weights[f"kernel_{i}"] = rng.normal(0, (frames * bands) ** -0.5, (4, 1, frames, bands))
        pads = [(frames - 1) // 2, 0, frames // 2, 0]
        conv = helper.make_node(
            "Conv", ["image", f"kernel_{i}"], [f"conv_{i}"], kernel_shape=[frames, bands], pads=pads
        )
        pool = helper.make_node(
            "MaxPool", [f"conv_{i}"], [f"pool_{i}"], kernel_shape=[1, 96 - bands + 1]
        )
        ops += [conv, pool]
        maps.append(f"pool_{i}")
    weights["to_embedding"] = rng.normal(0, 0.3, (4 * len(LAYERS), SIZE))
    weights["to_label"] = rng.normal(size=(SIZE, len(LABELS)))
    ops += [
        helper.make_node("Concat", maps, ["features"], axis=1),
        helper.make_node("GlobalAveragePool", ["features"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vector"]),
        helper.make_node("MatMul", ["vector", "to_embedding"], ["embeddings"]),
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
        [
            numpy_helper.from_array(value if name == "axis" else value.astype(np.float32), name)
            for name, value in weights.items()
        ],
    )
    return _save(folder, graph, segment_size, hop_size)


def make_head(folder: Path, size: int = SIZE, seed: int = 0, backbone: str | None = None) -> Path:
    """Write the folder of a head of one layer and two labels, named after the folder.

    `backbone` is the hash of the backbone that it belongs to.
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(size, 2)).astype(np.float32)
    bias = rng.normal(size=2).astype(np.float32)
    layer = Layer(weight, bias, "softmax")
    save_head(
        folder,
        [layer],
        name=folder.name,
        labels=("a", "b"),
        embedding_model="tiny",
        embedding_sha256=backbone,
    )
    return folder


GRID = PatchGrid(rows=9, columns=7, size=16, stride=10)
LEVELS = (
    PatchoutLevel(name="full"),
    PatchoutLevel(name="half", keep_every=2),
    PatchoutLevel(name="least", keep_every=3, drop_rows=(0, 7, 8)),
)


def make_transformer(folder: Path, hop_size: int = 20, seed: int = 2) -> Path:
    """Write the model folder of a transformer.

    Patches, projection and positions are as in MAEST; a mean stands for the blocks.
    """
    rng = np.random.default_rng(seed)
    weights = {
        "steps": np.arange(GRID.size),
        "stride": np.array(GRID.stride),
        "column": np.array([-1, 1]),
        "flat": np.array([0, 0, 0, GRID.size**2]),
        "rows_axis": np.array([1]),
        "projection": rng.normal(0, 0.1, (GRID.size**2, SIZE)).astype(np.float32),
        "time": rng.normal(size=(GRID.columns, SIZE)).astype(np.float32),
        "frequency": rng.normal(size=(GRID.rows, SIZE)).astype(np.float32),
        "to_label": rng.normal(size=(SIZE, len(LABELS))).astype(np.float32),
    }

    def indices(kept: str, to: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Mul", [kept, "stride"], [f"{to}_first"]),
            helper.make_node("Reshape", [f"{to}_first", "column"], [f"{to}_column"]),
            helper.make_node("Add", [f"{to}_column", "steps"], [to]),
        ]

    ops = [
        *indices(KEEP_T, "frames"),
        *indices(KEEP_F, "bands"),
        helper.make_node("Gather", ["mel", "frames"], ["columns"], axis=1),
        helper.make_node("Gather", ["columns", "bands"], ["cut"], axis=3),
        helper.make_node("Transpose", ["cut"], ["turned"], perm=[0, 3, 1, 4, 2]),
        helper.make_node("Reshape", ["turned", "flat"], ["flattened"]),
        helper.make_node("MatMul", ["flattened", "projection"], [PATCHES]),
        helper.make_node("Gather", ["time", KEEP_T], ["at_time"]),
        helper.make_node("Gather", ["frequency", KEEP_F], ["at_row"]),
        helper.make_node("Unsqueeze", ["at_row", "rows_axis"], ["at_frequency"]),
        helper.make_node("Add", [PATCHES, "at_time"], ["timed"]),
        helper.make_node("Add", ["timed", "at_frequency"], ["placed"]),
        helper.make_node("Tanh", ["placed"], ["tokens"]),
        helper.make_node("ReduceMean", ["tokens"], ["embeddings"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["embeddings", "to_label"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["activations"]),
    ]
    segment_size = (GRID.columns - 1) * GRID.stride + GRID.size
    floats, whole = TensorProto.FLOAT, TensorProto.INT64
    graph = helper.make_graph(
        ops,
        "tiny",
        [
            helper.make_tensor_value_info("mel", floats, ["batch", "frames", 96]),
            helper.make_tensor_value_info(KEEP_T, whole, ["kept_columns"]),
            helper.make_tensor_value_info(KEEP_F, whole, ["kept_rows"]),
        ],
        [
            helper.make_tensor_value_info("activations", floats, ["batch", len(LABELS)]),
            helper.make_tensor_value_info("embeddings", floats, ["batch", SIZE]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
        value_info=[
            helper.make_tensor_value_info(
                PATCHES, floats, ["batch", "kept_rows", "kept_columns", SIZE]
            ),
        ],
    )
    return _save(folder, graph, segment_size, hop_size, patch_grid=GRID, patchout=LEVELS)


def _save(
    folder: Path, graph: onnx.GraphProto, segment_size: int, hop_size: int, **more: Any
) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
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
                TensorSpec(
                    name="activations", shape=("batch", len(LABELS)), output_purpose="predictions"
                ),
                TensorSpec(name="embeddings", shape=("batch", SIZE), output_purpose="embeddings"),
            ),
        ),
        inference=InferenceSpec(sample_rate=16000),
        file="model.onnx",
        sha256=sha256(folder / "model.onnx"),
        front_end=FrontEndSpec.of("musicnn"),
        segment_size=segment_size,
        segment_hop_size=hop_size,
        **more,
    )
    save_card(card, folder)
    return folder
