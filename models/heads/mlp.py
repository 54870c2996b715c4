"""One layer of a multi-layer perceptron, and the activation functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.models.card import Activation

Array = NDArray[Any]


def linear(x: Array) -> Array:
    """x itself."""
    return x


def relu(x: Array) -> Array:
    """The larger of x and 0."""
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), written with tanh because exp overflows for large negative x."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def softmax(x: Array) -> Array:
    """exp(x) over its sum along the last axis; the maximum is taken off first: exp cannot overflow
    then.
    """
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True))


ACTIVATIONS: Final[dict[Activation, Callable[[Array], Array]]] = {
    "linear": linear,
    "relu": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(x @ weight + bias); weight (in, out) and bias (out,), kept as contiguous float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Activation

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", np.ascontiguousarray(self.weight, np.float32))
        object.__setattr__(self, "bias", np.ascontiguousarray(self.bias, np.float32))

    @property
    def size(self) -> int:
        """Number of outputs."""
        return int(self.weight.shape[-1])

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs (n, out) of inputs (n, in)."""
        return ACTIVATIONS[self.activation](x @ self.weight + self.bias)
