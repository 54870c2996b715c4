"""The tokens of the nodes behind a backbone: scores of labels, and events.

A token of a stream of predictions belongs to one segment. It holds the scores of any number of
heads, since heads come and go while the graph runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """Prediction of one head for one segment.

    A named tuple, which is quick to make: fifty heads make fifty of them a segment.

    Attributes:
        head: Name of the head; last part of the topic on the wire.
        model: Name of the model that the scores come from.
        version: Version of the model.
        labels: Labels, one for each activation.
        activations: Activations in [0, 1], shape `(labels,)`, float32.
        top_k: Number of labels to publish, strongest first; None for all.
    """

    head: str
    model: str
    version: str
    labels: tuple[str, ...]
    activations: NDArray[np.float32]
    top_k: int | None = None

    def ranked(self) -> list[tuple[str, float]]:
        """Pairs of label and activation, of shape `(labels,)`, strongest first, at most `top_k`."""
        order = np.argsort(-self.activations, kind="stable")[: self.top_k]
        values = self.activations[order].tolist()
        return [(self.labels[i], value) for i, value in zip(order.tolist(), values, strict=True)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The scores of all heads for one segment: a token of a stream of predictions."""

    scores: tuple[Scores, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A label that begins or ceases to be heard.

    Attributes:
        head: Name of the head.
        model: Name of the model.
        version: Version of the model.
        label: Label that comes on or goes off.
        change: `on` or `off`.
        at: Time in seconds from the start of the source, exactly.
        activation: Smoothed activation at that time, in [0, 1].
        reason: `gap`, `silence`, `settings` or `end`, if that made it go off; None if its
            activation did.
    """

    head: str
    model: str
    version: str
    label: str
    change: Literal["on", "off"]
    at: Fraction
    activation: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """The events that one segment brings, often none: a token of a stream of events."""

    events: tuple[Event, ...]


SILENCE = "silence"
"""Flag of predictions for which all that was heard is below the gate."""

FLOAT32: np.dtype[Any] = np.dtype(np.float32)
"""Type of audio, mel frames and embeddings."""
