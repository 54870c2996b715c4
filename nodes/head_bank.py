"""Many shallow heads as one product.

All first layers side by side are one matrix; the layers after it are stacked, padded with zeros to the
largest, so each is one batched product whatever the number of heads. Zeros keep the padding out of every
result: an absent unit is 0 after `relu`, and its weights onward are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.head import Mlp
from models.mlp import ACTIVATIONS, Layer


class HeadBank:
    """Computes all of `heads` from the same embeddings.

    Args:
        heads: At least one; all take embeddings of one length. They may differ in depth and size.
    """

    def __init__(self, heads: Sequence[Mlp]) -> None:
        self.heads = tuple(heads)
        first = [head.layers[0] for head in heads]
        self._weight = np.concatenate([layer.weight for layer in first], axis=1)
        self._bias = np.concatenate([layer.bias for layer in first])
        self._bounds = np.cumsum([0, *(layer.size for layer in first)])
        self._activate_first = _Activation([(layer, slice(*bounds)) for layer, bounds in self._pieces(first)])
        depth = max(len(head.layers) for head in heads)
        self._stacks = [
            _Stack([head.layers[level] if level < len(head.layers) else None for head in heads])
            for level in range(1, depth)
        ]

    def _pieces(self, layers: Sequence[Layer]) -> list[tuple[Layer, tuple[int, int]]]:
        bounds = self._bounds.tolist()
        return [(layer, (bounds[i], bounds[i + 1])) for i, layer in enumerate(layers)]

    def __call__(self, embeddings: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Activations of each head, shape `(n, labels)`, of embeddings of shape `(n, length)`."""
        hidden = embeddings @ self._weight + self._bias
        self._activate_first(hidden)
        results = [hidden[:, a:b] for a, b in zip(self._bounds, self._bounds[1:], strict=False)]
        for stack in self._stacks:
            results = stack(results)
        return results


class _Activation:
    """Activation functions of pieces of the last axis, in place; those of one kind in a run at once."""

    def __init__(self, pieces: list[tuple[Layer, slice]]) -> None:
        self._runs: list[tuple[str, slice]] = []
        for layer, piece in pieces:
            # Softmax looks at a whole head, so heads are not joined for it.
            joins = self._runs and self._runs[-1][0] == layer.activation != "softmax"
            if joins:
                self._runs[-1] = (layer.activation, slice(self._runs[-1][1].start, piece.stop))
            else:
                self._runs.append((layer.activation, piece))

    def __call__(self, values: NDArray[np.float32]) -> None:
        for kind, piece in self._runs:
            if kind == "relu":
                np.maximum(values[:, piece], 0, out=values[:, piece])
            elif kind != "linear":
                values[:, piece] = ACTIVATIONS[kind](values[:, piece])  # type: ignore[index]


class _Stack:
    """One further layer of every head that has it, as a batched product."""

    def __init__(self, layers: Sequence[Layer | None]) -> None:
        self._layers = layers
        present = [layer for layer in layers if layer is not None]
        fan_in = max(layer.weight.shape[0] for layer in present)
        fan_out = max(layer.size for layer in present)
        self._weight = np.zeros((len(present), fan_in, fan_out), np.float32)
        self._bias = np.zeros((len(present), 1, fan_out), np.float32)
        for row, layer in enumerate(present):
            self._weight[row, : layer.weight.shape[0], : layer.size] = layer.weight
            self._bias[row, 0, : layer.size] = layer.bias

    def __call__(self, inputs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        taken = [x for x, layer in zip(inputs, self._layers, strict=True) if layer is not None]
        stacked = np.zeros((len(taken), len(taken[0]), self._weight.shape[1]), np.float32)
        for row, x in enumerate(taken):
            stacked[row, :, : x.shape[1]] = x
        outputs = iter(stacked @ self._weight + self._bias)
        return [
            x if layer is None else ACTIVATIONS[layer.activation](next(outputs)[:, : layer.size])
            for x, layer in zip(inputs, self._layers, strict=True)
        ]
