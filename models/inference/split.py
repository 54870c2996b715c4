"""Splitting a model whose first layers are local in time, so that segments share their work.

MusiCNN (Pons et al., ISMIR 2018) begins with convolutions over `k` frames of the normalised mel
spectrogram, each followed by a maximum over all frequencies. Their output at a frame depends on `k`
frames, not on the segment, except near its edges, where zeros are padded. Such a model is split in
two:

- the *front* turns frames into feature columns, one per frame, computed once and kept;
- the *back* takes the columns of a segment, computes what depends on padded zeros, the edges, from
  the segment's frames, puts both together, and continues as the model does.

The column of frame `i` holds, for each layer, the output whose window ends with frame `i`. A
segment of `n` frames that begins at `s` finds its inner outputs of a layer of `k` frames in columns
`s + k - 1` to `s + n - 1`, so the columns it needs are those of its last `n - k + 1` frames for the
shortest layer.

A layer stays whole in the back where sharing would not pay: where segments begin further apart than
it has inner outputs.

Sums are only split between the parts: every output is the same sum of the same products as in the
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from auricle.errors import ModelError, one_line_with_type
from auricle.models.convert.onnx_graph import IR_VERSION, OPSET
from auricle.models.inference.first_layers import (
    FirstLayer,
    FirstLayers,
    attributes,
    find_first_layers,
)
from auricle.models.onnx_file import load_onnx

FRAMES: Final = "split/frames"
"""Input of the front. No exporter makes names with a slash, so it never clashes with others."""

FEATURES: Final = "split/features"
"""Output of the front, and second input of the back."""

_END: Final = 2**31 - 1
"""Stop of a slice up to the end."""


@dataclass(frozen=True, slots=True)
class Split:
    """A model in two parts, as serialized ONNX models.

    Attributes:
        front: Model from `FRAMES` (1, history + n, bands) to `FEATURES` (1, channels, n, 1).
        back: Model from the original input and `FEATURES` (1, channels, width, 1) to the original
            outputs.
        history: Frames before the first new one that the front takes. Those before a segment's
            first frame have no effect on that segment.
        width: Feature columns of a segment: those of its last `width` frames.
        channels: Values of a column.
    """

    front: bytes
    back: bytes
    history: int
    width: int
    channels: int


def split(path: Path, hop_size: int) -> Split | None:
    """Split a model for segments that begin `hop_size` frames apart.

    Args:
        path: ONNX file of a model with an input of shape (batch, frames, bands).
        hop_size: Frames from one segment to the next.

    Returns:
        The parts; None if the model does not begin with layers local in time, or no layer has
        enough inner outputs for segments so far apart.

    Raises:
        ModelError: The file is not an ONNX model.
    """
    model = load_onnx(path)
    try:
        return _split(model, hop_size)
    except Exception as error:  # a damaged file may hold anything where a number is expected
        why = f"not an ONNX file, or damaged: {one_line_with_type(error)}"
        raise ModelError(f"{path} cannot be loaded: {why}") from error


def _split(model: Any, hop_size: int) -> Split | None:
    found = find_first_layers(model.graph)
    if found is None:
        return None
    shared = [layer for layer in found.layers if hop_size <= found.segment_size - layer.size]
    if not shared:
        return None
    history = max(layer.size for layer in shared) - 1
    width = found.segment_size - min(layer.size for layer in shared) + 1
    channels = sum(layer.channels for layer in shared)
    front = _Front(model, found).build(shared, history, channels)
    back = _Back(model, found).build(shared, width, channels)
    return Split(front, back, history, width, channels)


class _Part:
    """Writes one of the parts; tensors of the model keep their names."""

    def __init__(self, model: Any, found: FirstLayers) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self._model = model
        self._found = found
        self._input = model.graph.input[0]
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def _copy_stem(self, source: str) -> str:
        """Apply the nodes before the layers to a tensor; returns the resulting tensor."""
        for node in self._found.stem:
            copied = type(node)()
            copied.CopyFrom(node)
            names = [source if name == self._input.name else name for name in node.input]
            del copied.input[:]
            copied.input.extend(names)
            self._nodes.append(copied)
        return str(self._found.stem[-1].output[0]) if self._found.stem else source

    def _frames(self, tensor: str, start: int, stop: int | None, layer: FirstLayer) -> str:
        """Frames `[start, stop)` of (1, 1, frames, bands), for a layer."""
        name = f"split/{layer.conv.output[0]}_from_{start}_to_{stop}"
        self._slice(tensor, name, (start, _END if stop is None else stop), axes=(2,))
        return name

    def _slice(
        self, tensor: str, name: str, *bounds: tuple[int, int], axes: tuple[int, ...]
    ) -> None:
        starts, stops = zip(*bounds, strict=True)
        parts = [
            self._integers(f"{name}_{what}", values)
            for what, values in (("starts", starts), ("stops", stops), ("axes", axes))
        ]
        self._node("Slice", [tensor, *parts], name)

    def _integers(self, name: str, values: Sequence[int]) -> str:
        self._constants.append(self._numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _apply(self, layer: FirstLayer, tensor: str, left: int, right: int, part: str) -> str:
        """Apply a layer to frames, with zeros padded `left` and `right`; returns its output."""
        conv, pool = (f"split/{node.output[0]}_{part}" for node in (layer.conv, layer.pool))
        kernel_shape = attributes(layer.conv)["kernel_shape"]
        inputs = [tensor, *layer.conv.input[1:]]
        self._node("Conv", inputs, conv, kernel_shape=kernel_shape, pads=[left, 0, right, 0])
        self._node("MaxPool", [conv], pool, **attributes(layer.pool))
        return pool

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(
            self._helper.make_node(kind, list(inputs), [output], output, **attributes)
        )

    def _info(self, name: str, shape: Sequence[int | str]) -> Any:
        return self._helper.make_tensor_value_info(name, 1, list(shape))

    def _serialize(self, name: str, inputs: list[Any], outputs: list[Any]) -> bytes:
        from onnx import checker

        used = {name for node in self._nodes for name in node.input}
        weights = [each for each in self._model.graph.initializer if each.name in used]
        graph = self._helper.make_graph(
            self._nodes, name, inputs, outputs, [*weights, *self._constants]
        )
        opset = self._helper.make_opsetid("", OPSET)
        part = self._helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        checker.check_model(part)
        return bytes(part.SerializeToString())


class _Front(_Part):
    """From frames to feature columns."""

    def build(self, shared: Sequence[FirstLayer], history: int, channels: int) -> bytes:
        """The front as the bytes of an ONNX model.

        Args:
            shared: Layers to compute.
            history: Frames that it takes before the new ones.
            channels: Values of a column, of all these layers.
        """
        normalised = self._copy_stem(FRAMES)
        columns = []
        for layer in shared:
            # All layers give as many columns as there are new frames; a shorter one needs less
            # history.
            frames = self._frames(normalised, history - layer.size + 1, None, layer)
            columns.append(self._apply(layer, frames, 0, 0, "inner"))
        self._node("Concat", columns, FEATURES, axis=1)
        frames_info = self._info(FRAMES, (1, "frames", self._found.bands))
        features_info = self._info(FEATURES, (1, channels, "columns", 1))
        return self._serialize("front", [frames_info], [features_info])


class _Back(_Part):
    """From a segment and its feature columns to the model's outputs."""

    def build(self, shared: Sequence[FirstLayer], width: int, channels: int) -> bytes:
        """The back as the bytes of an ONNX model.

        Args:
            shared: Layers whose columns the front computes.
            width: Feature columns of a segment.
            channels: Values of a column, of all these layers.
        """
        found = self._found
        normalised = self._copy_stem(self._input.name)
        joined, channel = [], 0
        for layer in found.layers:
            if layer in shared:
                joined.append(self._join_edges(layer, normalised, channel, width))
                channel += layer.channels
            else:
                joined.append(self._apply(layer, normalised, layer.left, layer.right, "whole"))
        self._node("Concat", joined, found.concat.output[0], axis=1)
        replaced = [found.concat, *found.stem]
        for layer in found.layers:
            replaced += [layer.conv, layer.pool]
        self._nodes += [node for node in self._model.graph.node if node not in replaced]
        features = self._info(FEATURES, (1, channels, width, 1))
        return self._serialize("back", [self._input, features], list(self._model.graph.output))

    def _join_edges(self, layer: FirstLayer, normalised: str, channel: int, width: int) -> str:
        """The output of a shared layer: its columns, between the edges where zeros are padded."""
        size, edge = self._found.segment_size, layer.size - 1
        whole = f"split/{layer.pool.output[0]}"
        first = self._frames(normalised, 0, edge, layer)
        last = self._frames(normalised, size - edge, size, layer)
        inner = f"{whole}_inner"
        channels = (channel, channel + layer.channels)
        self._slice(FEATURES, inner, channels, (width - (size - edge), width), axes=(1, 2))
        pieces = [inner]
        if layer.left:
            pieces.insert(0, self._apply(layer, first, layer.left, 0, "first"))
        if layer.right:
            pieces.append(self._apply(layer, last, 0, layer.right, "last"))
        self._node("Concat", pieces, whole, axis=2)
        return whole
