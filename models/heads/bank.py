"""Many shallow heads as one product.

All first layers side by side are one matrix; later layers are stacked, padded with zeros to the
largest, so that each is one batched product whatever the number of heads. Padding has no effect on
any result, since the weights from an absent unit are 0. An activation function is applied
together to all heads that have it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from auricle.compiled import compiled_and_kept
from auricle.models.card import Activation
from auricle.models.heads.head import Mlp
from auricle.models.heads.mlp import ACTIVATIONS, Layer

Array = NDArray[np.float32]


_shared: WeakValueDictionary[tuple[object, ...], HeadBank] = WeakValueDictionary()
_lock = threading.Lock()  # guards `_shared`


def shared_bank(heads: Sequence[Mlp]) -> HeadBank:
    """The bank of these heads, in this order, shared by all streams that have the same ones.

    Fifty heads are 4 MB of weights, and hundreds of streams may have them. Callable from any
    thread.
    """
    # A head without a hash is never shared; one with a hash was verified against it.
    key = tuple(
        (head.card.name, head.card.version, head.labels, head.card.sha256 or id(head))
        for head in heads
    )
    with _lock:
        bank = _shared.get(key)
        if bank is None:
            bank = _shared[key] = HeadBank(heads)
        return bank


class HeadBank:
    """Computes several heads from the same embeddings.

    It is immutable, so several threads may call it concurrently.

    Args:
        heads: At least one head; all take embeddings of one length. They may differ in depth and
            size.

    Attributes:
        heads: The heads, in the order given.
    """

    def __init__(self, heads: Sequence[Mlp]) -> None:
        self.heads = tuple(heads)
        depth = max(len(head.layers) for head in heads)
        # Heads with the same activations are adjacent, so that each activation is one slice.
        self._order = sorted(
            range(len(heads)), key=lambda i: [layer.activation for layer in heads[i].layers]
        )
        ordered = [heads[i] for i in self._order]
        self._first = _First([head.layers[0] for head in ordered])
        self._stacks: list[_Stack] = []
        for level in range(1, depth):
            layers = [head.layers[level] if level < len(head.layers) else None for head in ordered]
            self._stacks.append(_Stack(layers))
        # The first call compiles; better now than when audio is waiting.
        self._first(np.zeros((1, self.heads[0].input_size), np.float32))

    def __call__(self, embeddings: Array) -> list[Array]:
        """Activations of each head, shape `(n, labels)`, for embeddings of shape `(n, length)`."""
        results = self._first(embeddings)
        for stack in self._stacks:
            results = stack(results)
        in_order = sorted(zip(self._order, results, strict=True), key=lambda pair: pair[0])
        return [result for _, result in in_order]


@compiled_and_kept
def _affine(x: Array, weight: Array, bias: Array, outputs: Array) -> None:
    """Write x @ weight + bias to `outputs`, on the calling thread alone.

    It takes as long as a BLAS with one thread. With more, BLAS threads wait for each other, which
    takes ten times as long where another stream uses the other core.
    """
    rows, length, size = x.shape[0], x.shape[1], bias.size
    for row in range(rows):
        outputs[row] = bias
        i = 0
        while i + 4 <= length:
            a, b, c, d = x[row, i], x[row, i + 1], x[row, i + 2], x[row, i + 3]
            for j in range(size):
                more = (
                    a * weight[i, j]
                    + b * weight[i + 1, j]
                    + c * weight[i + 2, j]
                    + d * weight[i + 3, j]
                )
                outputs[row, j] += more
            i += 4
        while i < length:
            for j in range(size):
                outputs[row, j] += x[row, i] * weight[i, j]
            i += 1


class _First:
    """The first layer of every head, side by side."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._weight = np.concatenate([layer.weight for layer in layers], axis=1)
        self._bias = np.concatenate([layer.bias for layer in layers])
        bounds = np.cumsum([0, *(layer.size for layer in layers)]).tolist()
        self._pieces = [slice(*pair) for pair in itertools.pairwise(bounds)]
        # Softmax is over the outputs of one head, which are only a part of a row here.
        self._kinds = [
            (kind, slice(self._pieces[a].start, self._pieces[b - 1].stop))
            for kind, a, b in _runs(layers, apart=("softmax",))
        ]

    def __call__(self, x: Array) -> list[Array]:
        outputs = np.empty((len(x), len(self._bias)), np.float32)
        _affine(x, self._weight, self._bias, outputs)
        for kind, piece in self._kinds:
            outputs[:, piece] = ACTIVATIONS[kind](outputs[:, piece])
        return [outputs[:, piece] for piece in self._pieces]


class _Stack:
    """One further layer of every head that has it, as a batched product."""

    def __init__(self, layers: Sequence[Layer | None]) -> None:
        present = [layer for layer in layers if layer is not None]
        self._rows = [row for row, layer in enumerate(layers) if layer is not None]
        self._sizes = [layer.size for layer in present]
        fan_in = max(layer.weight.shape[0] for layer in present)
        self._weight = np.zeros((len(present), fan_in, max(self._sizes)), np.float32)
        self._bias = np.zeros((len(present), 1, max(self._sizes)), np.float32)
        for row, layer in enumerate(present):
            self._weight[row, : layer.weight.shape[0], : layer.size] = layer.weight
            self._bias[row, 0, : layer.size] = layer.bias
            if layer.activation == "softmax":  # an absent label adds nothing to the sum
                self._bias[row, 0, layer.size :] = -np.inf
        self._kinds = [(kind, slice(a, b)) for kind, a, b in _runs(present)]

    def __call__(self, inputs: list[Array]) -> list[Array]:
        stacked = np.zeros((len(self._rows), len(inputs[0]), self._weight.shape[1]), np.float32)
        for row, source in enumerate(self._rows):
            stacked[row, :, : inputs[source].shape[1]] = inputs[source]
        outputs = stacked @ self._weight
        outputs += self._bias
        for kind, piece in self._kinds:
            outputs[piece] = ACTIVATIONS[kind](outputs[piece])
        results = list(inputs)
        for row, source in enumerate(self._rows):
            results[source] = outputs[row, :, : self._sizes[row]]
        return results


def _runs(layers: Sequence[Layer], apart: Sequence[str] = ()) -> list[tuple[Activation, int, int]]:
    """Runs of layers with the same activation.

    Args:
        layers: The layers, in order.
        apart: Activations whose runs are of one layer each.

    Returns:
        The activation of each run, its first layer and the one after its last.
    """
    runs: list[tuple[Activation, int, int]] = []
    for index, layer in enumerate(layers):
        kind = layer.activation
        if runs and runs[-1][0] == kind and kind not in apart:
            runs[-1] = (kind, runs[-1][1], index + 1)
        else:
            runs.append((kind, index, index + 1))
    return runs
