"""Splitting a model whose first layers are local in time, so that overlapping segments share their
work.

MusiCNN (Pons et al., ISMIR 2018) begins with convolutions over `k` frames of the normalised mel
spectrogram, each followed by a maximum over all frequencies. Their output at a frame depends on `k`
frames, not on the segment, except near its edges, where zeros are padded. Such a model is split in
two:

- the *front* turns frames into feature columns, one a frame, computed once and kept;
- the *back* takes the columns of a segment, computes what sees padded zeros, the edges, from the
  segment's frames, puts both together, and goes on as the model does.

The column of frame `i` holds, for each layer, the output whose window ends with frame `i`. A
segment of `n` frames that begins at `s` finds its inner outputs of a layer of `k` frames in columns
`s + k - 1` to `s + n - 1`, so the columns it needs are those of its last `n - k + 1` frames for the
shortest layer.

A layer stays whole in the back where sharing would not pay: where segments begin further apart than
it has inner outputs.

The split is that of sums: every output is the same sum of the same products as in the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auricle.errors import ModelError
from auricle.models.convert.onnx_graph import IR_VERSION, OPSET

FRAMES: Final = "split/frames"
"""Input of the front. Names with a slash that no exporter gives, so that they meet none of the
model's.
"""

FEATURES: Final = "split/features"
"""Output of the front, and second input of the back."""

_LOCAL_OPS: Final = ("Add", "Mul", "Unsqueeze", "Identity")
"""What may lie between the input and the first convolutions: nothing that looks beyond a frame."""


@dataclass(frozen=True, slots=True)
class Split:
    """A model in two parts, as serialized ONNX models.

    Attributes:
        front: From `FRAMES` (1, history + n, bands) to `FEATURES` (1, channels, n, 1).
        back: From the model's own input and `FEATURES` (1, channels, width, 1) to the model's own
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


@dataclass(frozen=True, slots=True)
class _Layer:
    """One first layer: convolution and maximum over frequency."""

    conv: Any
    pool: Any
    channels: int
    size: int
    """Frames of the kernel."""
    left: int
    """Zeros padded before the segment."""
    right: int


def split(path: Path, hop_size: int) -> Split | None:
    """Split a model for segments that begin `hop_size` frames apart.

    Args:
        path: An ONNX model from (batch, frames, bands) to anything.
        hop_size: In frames.

    Returns:
        The parts; None where the model does not begin with layers local in time, or where no layer
        has enough inner outputs for segments so far apart.

    Raises:
        ModelError: No ONNX model.
    """
    import onnx  # takes a tenth of a second, and only who opens a session needs it

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own errors have no common base but this
        raise ModelError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from error
    found = _first_layers(model.graph)
    if found is None:
        return None
    stem, layers, concat = found
    segment_size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    shared = [layer for layer in layers if hop_size <= segment_size - layer.size]
    if not shared:
        return None
    history = max(layer.size for layer in shared) - 1
    width = segment_size - min(layer.size for layer in shared) + 1
    parts = _Parts(model, stem, layers, shared, concat, segment_size)
    channels = sum(layer.channels for layer in shared)
    return Split(parts.front(history), parts.back(width), history, width, channels)


def _first_layers(graph: Any) -> tuple[list[Any], list[_Layer], Any] | None:
    """What lies before the first layers, these layers, and the node that joins them; None if it is
    not so.
    """
    if len(graph.input) != 1 or len(graph.input[0].type.tensor_type.shape.dim) != 3:
        return None
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}

    stem, tensor = [], graph.input[0].name
    while len(readers.get(tensor, ())) == 1 and readers[tensor][0].op_type in _LOCAL_OPS:
        node = readers[tensor][0]
        stem.append(node)
        tensor = node.output[0]
    convs = readers.get(tensor, [])
    if not convs or any(node.op_type != "Conv" for node in convs):
        return None
    pools = [readers.get(conv.output[0], []) for conv in convs]
    if any(len(each) != 1 or each[0].op_type != "MaxPool" for each in pools):
        return None
    joins = [readers.get(pool[0].output[0], [None]) for pool in pools]
    concat = joins[0][0]
    if concat is None or concat.op_type != "Concat" or any(each != [concat] for each in joins):
        return None
    bands = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    by_output = {
        pool[0].output[0]: (conv, pool[0]) for conv, pool in zip(convs, pools, strict=True)
    }
    layers = [_layer(*by_output[name], shapes, bands) for name in concat.input if name in by_output]
    found = [layer for layer in layers if layer is not None]
    if len(found) != len(concat.input) or _attributes(concat) != {"axis": 1}:
        return None
    return stem, found, concat


def _layer(conv: Any, pool: Any, shapes: dict[str, tuple[int, ...]], bands: int) -> _Layer | None:
    """The layer, if it keeps the number of frames and leaves one value a channel and frame."""
    shape = shapes.get(conv.input[1], ())
    if len(shape) != 4:
        return None
    channels, _, size, height = shape
    said = _attributes(conv)
    left, before, right, after = said.get("pads", [0, 0, 0, 0])
    plain = said.keys() <= {"kernel_shape", "pads"} and before == after == 0
    same = (left, right) == ((size - 1) // 2, size // 2)
    pooled = _attributes(pool) == {"kernel_shape": [1, bands - height + 1]}
    return _Layer(conv, pool, channels, size, left, right) if plain and same and pooled else None


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


class _Parts:
    """Writes the two parts; tensors of the model keep their names."""

    def __init__(
        self,
        model: Any,
        stem: list[Any],
        layers: Sequence[_Layer],
        shared: Sequence[_Layer],
        concat: Any,
        segment_size: int,
    ) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self._model = model
        self._stem, self._layers, self._shared, self._concat = stem, layers, shared, concat
        self._segment_size = segment_size
        self._input = model.graph.input[0]
        self._bands = self._input.type.tensor_type.shape.dim[2].dim_value
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def front(self, history: int) -> bytes:
        """From frames to columns."""
        self._nodes, self._constants = [], []
        normalised = self._copy_stem(FRAMES)
        columns = []
        for layer in self._shared:
            # All layers give as many columns as there are new frames; a shorter one needs less
            # history.
            frames = self._frames(normalised, history - layer.size + 1, None, layer)
            columns.append(self._apply(layer, frames, 0, 0, "inner"))
        self._node("Concat", columns, FEATURES, axis=1)
        frames_info = self._info(FRAMES, (1, "frames", self._bands))
        channels = sum(layer.channels for layer in self._shared)
        return self._serialize(
            "front", [frames_info], [self._info(FEATURES, (1, channels, "columns", 1))]
        )

    def back(self, width: int) -> bytes:
        """From a segment and its columns to what the model gives."""
        self._nodes, self._constants = [], []
        normalised = self._copy_stem(self._input.name)
        joined, channel = [], 0
        for layer in self._layers:
            if layer not in self._shared:
                joined.append(self._apply(layer, normalised, layer.left, layer.right, "whole"))
                continue
            edge = layer.size - 1
            first = self._frames(normalised, 0, edge, layer)
            last = self._frames(normalised, self._segment_size - edge, self._segment_size, layer)
            inner = f"split/{layer.pool.output[0]}_inner"
            start = width - (self._segment_size - edge)
            self._slice(
                FEATURES, inner, (channel, channel + layer.channels), (start, width), axes=(1, 2)
            )
            whole = f"split/{layer.pool.output[0]}"
            pieces = [
                self._apply(layer, first, layer.left, 0, "first"),
                inner,
                self._apply(layer, last, 0, layer.right, "last"),
            ]
            self._node("Concat", [piece for piece in pieces if piece], whole, axis=2)
            joined.append(whole)
            channel += layer.channels
        self._node("Concat", joined, self._concat.output[0], axis=1)
        done = [
            self._concat,
            *self._stem,
            *(n for each in self._layers for n in (each.conv, each.pool)),
        ]
        self._nodes += [node for node in self._model.graph.node if node not in done]
        features = self._info(FEATURES, (1, channel, width, 1))
        return self._serialize("back", [self._input, features], list(self._model.graph.output))

    def _copy_stem(self, source: str) -> str:
        for node in self._stem:
            copied = type(node)()
            copied.CopyFrom(node)
            names = [source if name == self._input.name else name for name in node.input]
            del copied.input[:]
            copied.input.extend(names)
            self._nodes.append(copied)
        return str(self._stem[-1].output[0]) if self._stem else source

    def _frames(self, tensor: str, start: int, stop: int | None, layer: _Layer) -> str:
        """Frames `[start, stop)` of (1, 1, frames, bands)."""
        name = f"split/{layer.conv.output[0]}_from_{start}_to_{stop}"
        last = 2**31 - 1 if stop is None else stop
        self._slice(tensor, name, (start, last), axes=(2,))
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
        import numpy as np

        self._constants.append(self._numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _apply(self, layer: _Layer, tensor: str, left: int, right: int, part: str) -> str:
        """The layer on some frames, with so many zeros before and behind; empty if no output is
        left.
        """
        if part in ("first", "last") and not left + right:
            return ""
        conv, pool = (f"split/{node.output[0]}_{part}" for node in (layer.conv, layer.pool))
        kernel_shape = _attributes(layer.conv)["kernel_shape"]
        inputs = [tensor, *layer.conv.input[1:]]
        self._node("Conv", inputs, conv, kernel_shape=kernel_shape, pads=[left, 0, right, 0])
        self._node("MaxPool", [conv], pool, **_attributes(layer.pool))
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
