"""What the nodes behind a backbone hand to each other: scores of labels, and events.

One token of a stream of predictions belongs to one segment. It holds the scores of any number of
heads, since heads come and go while the graph runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """What one head says of one segment. A tuple: fifty heads make fifty of them a segment.

    Attributes:
        head: Name of the head; the second part of the topic on the wire.
        model: Name of the model that the scores come from.
        version: Its version.
        labels: What each activation is about.
        activations: One float32 in [0, 1] a label, shape `(labels,)`.
        top_k: How many labels, strongest first, are worth publishing; None for all.
    """

    head: str
    model: str
    version: str
    labels: tuple[str, ...]
    activations: NDArray[np.float32]
    top_k: int | None = None

    def ranked(self) -> list[tuple[str, float]]:
        """Labels and activations, strongest first, at most `top_k`."""
        order = np.argsort(-self.activations, kind="stable")[: self.top_k]
        values = self.activations[order].tolist()
        return [(self.labels[i], value) for i, value in zip(order.tolist(), values, strict=True)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The scores of all heads for one segment: the token of a stream of predictions."""

    scores: tuple[Scores, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A label that begins or ceases to be heard.

    Attributes:
        head: Name of the head.
        model: Name of the model.
        version: Its version.
        label: The label.
        change: `on` or `off`.
        at: When, in seconds from the start of the source, exactly.
        activation: Smoothed activation at that time.
        reason: What ended it, if not its activation: `gap` or `end`.
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
    """The events that one segment brought to light, often none: the token of a stream of events."""

    events: tuple[Event, ...]


FLOAT32: np.dtype[Any] = np.dtype(np.float32)
"""Type of audio, mel frames and embeddings."""
