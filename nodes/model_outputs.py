"""The outputs of a model for a segment, as ports of a node and as their tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis, Origin
from auricle.models.card import Card, TensorSpec
from auricle.nodes.predictions import FLOAT32, Prediction, Scores


class ModelOutputs:
    """The predictions and the embeddings of a model, as far as it has them.

    Args:
        card: Card of the model.
        head: Name of its predictions.
        top_k: Most labels in a prediction, strongest first; None for all.

    Attributes:
        names: Names of the outputs to ask the model for, in the order in which `write` takes them.
    """

    def __init__(self, card: Card, head: str, top_k: int | None) -> None:
        self._card = card
        self._head = head
        self._top_k = top_k
        self._specs: dict[str, TensorSpec] = {}  # by port
        if card.classes:
            self._specs["predictions"] = card.output("predictions") or card.io.outputs[0]
        if card.embedding_size and (embeddings := card.output("embeddings")):
            self._specs["embeddings"] = embeddings
        self.names = tuple(spec.name for spec in self._specs.values())

    def ports(self, follows: InputPort, burst_s: float) -> list[OutputPort]:
        """The ports, named `predictions` and `embeddings`.

        Args:
            follows: Input port of the segments, each of which gives a token.
            burst_s: Seconds of tokens that may arrive together.

        Returns:
            Those of the two that the model has.
        """
        card, ports = self._card, []
        if "predictions" in self._specs:
            ports.append(
                OutputPort(
                    "predictions",
                    "Scores of the model's own labels.",
                    Prediction,
                    follows=follows,
                    burst_s=burst_s,
                    labels=card.classes,
                )
            )
        if "embeddings" in self._specs:
            ports.append(
                OutputPort(
                    "embeddings",
                    "Embeddings, for heads.",
                    FLOAT32,
                    (Axis("embedding", card.embedding_size or 0),),
                    follows=follows,
                    burst_s=burst_s,
                    origin=Origin(card.name, card.sha256) if card.sha256 else None,
                )
            )
        return ports

    def write(self, values: list[NDArray[np.float32]], outputs: dict[str, NDArray[Any]]) -> None:
        """Write the tokens of one segment.

        Args:
            values: Outputs of the model in the order of `names`, float32, each with a batch axis of
                1.
            outputs: Room for one token by port, each of shape `(1, *axes)`.
        """
        results = dict(zip(self._specs, values, strict=True))
        if "predictions" in results:
            card, activations = self._card, results["predictions"][0]
            scores = Scores(
                self._head, card.name, card.version, card.classes, activations, self._top_k
            )
            outputs["predictions"][0] = Prediction((scores,))
        if "embeddings" in results:
            embeddings = results["embeddings"]
            if self._specs["embeddings"].pooling:
                embeddings = _pool_tokens(embeddings)
            outputs["embeddings"][:] = embeddings

    def describe(self) -> list[dict[str, Any]]:
        """Facts on the predictions that a display needs; see `Node.describe` of the engine."""
        card = self._card
        if not card.classes:
            return []
        return [
            {
                "head": self._head,
                "model": card.name,
                "model_version": card.version,
                "labels": list(card.classes),
            }
        ]


def _pool_tokens(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pool tokens (segments, tokens, size), the first two special, to (segments, 3 * size)."""
    parts = [tokens[:, 0], tokens[:, 1], tokens[:, 2:].mean(axis=1)]
    return np.concatenate(parts, axis=1)
