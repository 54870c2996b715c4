"""Finding the first layers of a model that are local in time.

These are convolutions, each followed by a maximum over frequency, which
`auricle.models.inference.split` computes once for overlapping segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LOCAL_OPS: Final = ("Add", "Mul", "Unsqueeze", "Identity")
"""Operators allowed between the input and the first convolutions: none looks beyond a frame."""

_Readers = Mapping[str, list[Any]]
"""Nodes that take each tensor, by the name of the tensor."""


@dataclass(frozen=True, slots=True)
class FirstLayer:
    """A convolution and the maximum over all frequencies that follows it.

    Attributes:
        conv: Node of the convolution.
        pool: Node of the maximum.
        channels: Number of output channels.
        size: Frames of the kernel.
        left: Frames of zeros padded before the segment.
        right: Frames of zeros padded after the segment.
    """

    conv: Any
    pool: Any
    channels: int
    size: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class FirstLayers:
    """The beginning of a model.

    Attributes:
        stem: Nodes between the input and the layers, in order.
        layers: The layers, in the order in which they are joined.
        concat: Node that joins them along the channels.
        segment_size: Frames of the model's input.
        bands: Bands of a frame.
    """

    stem: list[Any]
    layers: list[FirstLayer]
    concat: Any
    segment_size: int
    bands: int


def find_first_layers(graph: Any) -> FirstLayers | None:
    """Find the first layers of a model that begins with layers that are local in time.

    Args:
        graph: An `onnx.GraphProto` with an input of shape (batch, frames, bands).

    Returns:
        The layers; None for a model that begins in another way.
    """
    if len(graph.input) != 1 or len(graph.input[0].type.tensor_type.shape.dim) != 3:
        return None
    _, segment_size, bands = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
    readers = _readers_by_tensor(graph)
    stem, tensor = _follow_stem(graph.input[0].name, readers)
    branches = _find_branches(tensor, readers)
    concat = _common_reader([pool.output[0] for _, pool in branches], readers)
    if concat is None or concat.op_type != "Concat" or attributes(concat) != {"axis": 1}:
        return None
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    by_output = {pool.output[0]: (conv, pool) for conv, pool in branches}
    layers = []
    for name in concat.input:
        layer = _layer(*by_output[name], shapes, bands) if name in by_output else None
        if layer is None:
            return None
        layers.append(layer)
    return FirstLayers(stem, layers, concat, segment_size, bands)


def _readers_by_tensor(graph: Any) -> _Readers:
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _follow_stem(tensor: str, readers: _Readers) -> tuple[list[Any], str]:
    """The chain of nodes from a tensor on that are local in time, and the tensor after them."""
    stem = []
    while len(readers.get(tensor, ())) == 1 and readers[tensor][0].op_type in _LOCAL_OPS:
        node = readers[tensor][0]
        stem.append(node)
        tensor = node.output[0]
    return stem, tensor


def _find_branches(tensor: str, readers: _Readers) -> list[tuple[Any, Any]]:
    """Each convolution that takes a tensor, with the maximum that follows it.

    Empty if any reader of the tensor is something else.
    """
    branches = []
    for conv in readers.get(tensor, ()):
        behind = readers.get(conv.output[0], [])
        if conv.op_type != "Conv" or len(behind) != 1 or behind[0].op_type != "MaxPool":
            return []
        branches.append((conv, behind[0]))
    return branches


def _common_reader(tensors: list[str], readers: _Readers) -> Any:
    """The one node that takes all of these tensors, if no other node takes any; else None."""
    taken_by = [readers.get(tensor, []) for tensor in tensors]
    if not taken_by or len(taken_by[0]) != 1 or any(each != taken_by[0] for each in taken_by):
        return None
    return taken_by[0][0]


def _layer(
    conv: Any, pool: Any, shapes: Mapping[str, tuple[int, ...]], bands: int
) -> FirstLayer | None:
    """The layer, if it keeps the number of frames and leaves one value per channel and frame."""
    shape = shapes.get(conv.input[1], ())
    if len(shape) != 4:
        return None
    channels, _, size, height = shape
    has = attributes(conv)
    left, before, right, after = has.get("pads", [0, 0, 0, 0])
    plain = has.keys() <= {"kernel_shape", "pads"} and before == after == 0
    same_length = (left, right) == ((size - 1) // 2, size // 2)
    pooled = attributes(pool) == {"kernel_shape": [1, bands - height + 1]}
    if not (plain and same_length and pooled):
        return None
    return FirstLayer(conv, pool, channels, size, left, right)


def attributes(node: Any) -> dict[str, Any]:
    """Attributes of an ONNX node, by name."""
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
