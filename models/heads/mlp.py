"""One layer of a multi-layer perceptron, and the activation functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.models.card import Activation

Array = NDArray[Any]


def linear(x: Array) -> Array:
    """Return `x`, of any shape, itself."""
    return x


def relu(x: Array) -> Array:
    """The larger of x and 0, in the shape of x."""
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), in the shape of x.

    It is computed with tanh, since exp overflows for large negative x.
    """
    return 0.5 * (1 + np.tanh(0.5 * x))


def softmax(x: Array) -> Array:
    """exp(x) divided by its sum along the last axis, in the shape of x.

    The maximum is subtracted first, so that exp cannot overflow.
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
    """One layer: activation(x @ weight + bias).

    Attributes:
        weight: Weights, shape (in, out), kept as contiguous float32.
        bias: Biases, shape (out,), kept as contiguous float32.
        activation: Name of the activation function.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: Activation

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", np.ascontiguousarray(self.weight, np.float32))
        object.__setattr__(self, "bias", np.ascontiguousarray(self.bias, np.float32))

    @property
    def size(self) -> int:
        """Number of outputs, the last axis of shape `(batch, size)`."""
        return int(self.weight.shape[-1])

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs, shape (n, out), for inputs of shape (n, in)."""
        return ACTIVATIONS[self.activation](x @ self.weight + self.bias)
