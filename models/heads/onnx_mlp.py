"""Reading a multi-layer perceptron out of an ONNX graph.

Converters write the same MLP in many ways: Gemm or MatMul and Add, batch norm before or after an
activation, batch norm turned into Mul and Add, dropout left in. All of these are affine maps
between activations. So the reader follows the chain of nodes from the input to the requested output
and composes them into one weight and one bias per layer, in float64.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import Activation
from auricle.models.heads.mlp import Layer
from auricle.models.onnx_file import load_onnx

Array = NDArray[Any]

_ACTIVATIONS: Final[dict[str, Activation]] = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
_AFFINE: Final = ("MatMul", "Gemm", "Add", "Sub", "Mul", "BatchNormalization")
# These do not change the values of a (batch, features) array; one that merges axes would be caught
# by the sizes.
_HARMLESS: Final = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
_EXTERNAL: Final = 1  # TensorProto.DataLocation


def read_onnx_mlp(path: Path, output: str) -> tuple[Layer, ...]:
    """The layers behind one output.

    Args:
        path: ONNX file that holds its weights itself.
        output: Name of the output; ignored if the graph has only one.

    Returns:
        The layers, first to last, with weights of shape (in, out).

    Raises:
        ModelError: The file is not ONNX, has no such output, or has an operator that cannot be part
            of an MLP.
        OSError: The file cannot be read.
    """
    graph = load_onnx(path).graph
    outputs = [value.name for value in graph.output]
    if len(outputs) == 1:
        output = outputs[0]
    elif output not in outputs:
        raise ModelError(
            f"{path}: no output '{output}'; outputs are: {', '.join(outputs) or 'none'}"
        )

    constants = _constants(graph, path)
    composer = _Composer()
    for node in _chain(graph, output, constants, path):
        try:
            composer.take(node, [constants.get(name) for name in node.input])
        except ValueError as error:  # ours, and numpy's when sizes do not fit
            raise ModelError(
                f"{path}: node '{node.name or node.output[0]}' ({node.op_type}): {error}"
            ) from error
    return composer.finish()


class _Composer:
    """Makes layers of nodes, taken first to last. Raises ValueError for a node that does not fit.

    `_affine` is the map since the last activation: weight (in, out) and bias (out,), or None for
    the identity.
    """

    def __init__(self) -> None:
        self._layers: list[Layer] = []
        self._affine: tuple[Array, Array] | None = None

    def take(self, node: Any, values: Sequence[Array | None]) -> None:
        """Add one node; `values` are its constant inputs, and None for the others."""
        attributes = {item.name: item for item in node.attribute}
        kind = node.op_type
        if kind in _ACTIVATIONS:
            # The features are the last of two axes.
            if kind == "Softmax" and "axis" in attributes and attributes["axis"].i not in (1, -1):
                raise ValueError(
                    f"axis {attributes['axis'].i}; only a softmax over the features is supported"
                )
            self._close(_ACTIVATIONS[kind])
        elif kind == "MatMul":
            self._compose(_matrix(values))
        elif kind == "Gemm":
            self._gemm(attributes, values)
        elif kind == "BatchNormalization":
            self._batch_norm(attributes, values)
        elif kind in ("Add", "Sub", "Mul"):
            self._arithmetic(kind, values)
        elif kind not in _HARMLESS:
            allowed = ", ".join((*_AFFINE, *_ACTIVATIONS, *_HARMLESS))
            raise ValueError(f"has no place in a head; these operators have: {allowed}")

    def finish(self) -> tuple[Layer, ...]:
        """The layers; a map after the last activation becomes a linear one."""
        if self._affine is not None:
            self._close("linear")
        return tuple(self._layers)

    def _batch_norm(self, attributes: dict[str, Any], values: Sequence[Array | None]) -> None:
        gamma, beta, mean, variance = (_given(value) for value in values[1:5])
        epsilon = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
        scale = gamma / np.sqrt(variance + epsilon)
        self._elementwise(scale, beta - scale * mean)

    def _arithmetic(self, kind: str, values: Sequence[Array | None]) -> None:
        first, second = values
        constant = _given(first if second is None else second)
        if kind == "Mul":
            self._elementwise(constant, np.zeros(1))
        elif kind == "Add":
            self._elementwise(np.ones(1), constant)
        elif first is None:
            self._elementwise(np.ones(1), -constant)
        else:
            self._elementwise(-np.ones(1), constant)

    def _gemm(self, attributes: dict[str, Any], values: Sequence[Array | None]) -> None:
        alpha, beta = (attributes[key].f if key in attributes else 1.0 for key in ("alpha", "beta"))
        transposed = {
            key for key in ("transA", "transB") if key in attributes and attributes[key].i
        }
        if "transA" in transposed:
            raise ValueError("a transposed input is not supported")
        matrix = _matrix(values[:2])
        self._compose(alpha * (matrix.T if "transB" in transposed else matrix))
        if len(values) > 2:
            self._elementwise(np.ones(1), beta * _given(values[2]))

    def _compose(self, matrix: Array) -> None:
        if self._affine is None:
            self._affine = matrix, np.zeros(matrix.shape[1])
        else:
            weight, bias = self._affine
            self._affine = weight @ matrix, bias @ matrix

    def _elementwise(self, scale: Array, shift: Array) -> None:
        """Append x -> scale * x + shift; each is a vector of the width, or one value for all."""
        if self._affine is None:
            width = self._layers[-1].size if self._layers else max(scale.size, shift.size)
            self._affine = np.eye(width), np.zeros(width)
        weight, bias = self._affine
        width = len(bias)
        for factor in (scale, shift):
            if factor.size not in (1, width):
                raise ValueError(f"{factor.size} values where {width} or one are needed")
        scale, shift = scale.reshape(-1), shift.reshape(-1)
        self._affine = weight * scale, bias * scale + shift

    def _close(self, activation: Activation) -> None:
        if self._affine is None:
            raise ValueError("follows no layer")
        self._layers.append(Layer(*self._affine, activation))
        self._affine = None


def _chain(graph: Any, output: str, constants: dict[str, Array], path: Path) -> list[Any]:
    """The nodes from the input to `output`, in order.

    Raises:
        ModelError: A node depends on more than one computed value, or on none.
    """
    producers = {name: node for node in graph.node for name in node.output}
    inputs = {value.name for value in graph.input}
    chain: list[Any] = []
    tensor = output
    while tensor in producers:
        node = producers.pop(tensor)  # popped, so that the loop ends even for a cycle
        computed = [name for name in node.input if name and name not in constants]
        if len(computed) != 1:
            where = f"{path}: node '{node.name or node.output[0]}' ({node.op_type})"
            raise ModelError(
                f"{where} has {len(computed)} inputs that are computed: not a chain of layers"
            )
        chain.append(node)
        tensor = computed[0]
    if tensor not in inputs:
        raise ModelError(f"{path}: nothing in the graph makes '{tensor}'")
    return chain[::-1]


def _constants(graph: Any, path: Path) -> dict[str, Array]:
    """Initializers and Constant nodes, by name; floats in float64."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for item in node.attribute:
            if node.op_type == "Constant" and item.name == "value":
                tensors[node.output[0]] = item.t
    values = {}
    for name, tensor in tensors.items():
        if tensor.data_location == _EXTERNAL:
            raise ModelError(
                f"{path}: '{name}' is kept in another file; a head must hold its weights itself"
            )
        try:
            value = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:  # too few bytes for the shape, or unknown type
            raise ModelError(f"{path}: constant '{name}' cannot be read: {error}") from error
        values[name] = (
            value.astype(np.float64) if np.issubdtype(value.dtype, np.floating) else value
        )
    return values


def _matrix(values: Sequence[Array | None]) -> Array:
    """The constant right factor of a product."""
    left, right = values
    if left is not None or right is None or right.ndim != 2:
        raise ValueError("only a product with a constant matrix on the right is supported")
    return right


def _given(value: Array | None) -> Array:
    if value is None:
        raise ValueError("an input that should be constant is not")
    return value
