"""The node that smooths scores over time and derives events from them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field, model_validator

from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Stream
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, did_you_mean
from auricle.nodes.predictions import Event, Events, Prediction, Scores
from auricle.nodes.signal.aggregation import (
    Change,
    Hysteresis,
    Smoother,
    exponential_smoother,
    mean_smoother,
    median_smoother,
)

SHOWN_LABELS = 50
"""Labels that an error message names, at most."""


LONGEST_S = 86_400
"""Longest time that rules and smoothing may look at, in seconds: a day."""


class EventRule(NodeParams):
    """When a label counts as heard.

    The bounds are not called `on` and `off`, which YAML takes for true and false.
    """

    label: str = Field(description="Label, or * for every label that no other rule names.")
    above: float = Field(0.5, ge=0, le=1, description="Activation at which it comes on.")
    below: float | None = Field(
        None, ge=0, le=1, description="Activation below which it goes off; `above`, if left out."
    )
    least_s: float = Field(
        0.0,
        ge=0,
        le=LONGEST_S,
        description="Seconds for which it has to stay above before it comes on.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> EventRule:
        if self.below is not None and self.below > self.above:
            raise ValueError(f"below={self.below} must not be more than above={self.above}")
        return self


class AggregatorParams(NodeParams):
    """Parameters of `Aggregator`."""

    smoothing: Literal["none", "mean", "exponential", "median"] = Field(
        "mean", description="Kind of smoothing over time."
    )
    window_s: float = Field(
        6.0,
        gt=0,
        le=LONGEST_S,
        description="Seconds that smoothing looks back; for exponential, time constant.",
    )
    top_k: int | None = Field(
        None, gt=0, description="Most labels in a prediction, strongest first; all, if left out."
    )
    events: tuple[EventRule, ...] = Field((), description="Rules of the labels that make events.")


class Aggregator(Transform[AggregatorParams]):
    """Scores smoothed over time, head by head, and labels that come on and go off.

    The time of an event is the middle of the segment that began it: the centre of what the model
    heard. Smoothing and events start again after a gap; a label that is on goes off at the gap.

    Raises:
        ConfigError: A rule names a label that no head has, once the labels are known.
    """

    stage = "aggregation"

    rest = 1
    """One token, for the events at the end of the stream."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        scores = self.add_input(InputPort("predictions", "Scores of any heads.", Prediction))
        self.add_output(
            OutputPort("predictions", "The same, smoothed.", Prediction, follows=scores)
        )
        self.add_output(OutputPort("events", "What came on and went off.", Events, follows=scores))
        self._rules = {rule.label: rule for rule in self.params.events}
        self._smoothers: dict[str, Smoother] = {}
        self._watched: dict[tuple[str, str], tuple[Scores, Hysteresis]] = {}
        self._pending: list[Event] = []

    def connected(self) -> None:
        labels = self.inputs["predictions"].offered[0].labels
        self.outputs["predictions"].labels = labels
        if labels is None:
            return
        for label in self._rules:
            if label not in labels and label != "*":
                known = ", ".join(labels[:SHOWN_LABELS]) + ", ..." * (len(labels) > SHOWN_LABELS)
                what = f"events: no label {label!r}{did_you_mean(label, labels)}"
                raise ConfigError(f"{what}; labels are: {known}", node=self.name)

    def reset(self) -> None:
        self._close("gap")

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        stream = self.outputs["events"].stream
        for row, prediction in enumerate(windows):
            at = _middle(stream, stream.written + row)
            smoothed = tuple(self._smooth(scores) for scores in prediction.scores)
            events = self._pending + [
                event for scores in smoothed for event in self._changes(scores, at)
            ]
            self._pending = []
            outputs["predictions"][row] = Prediction(smoothed)
            outputs["events"][row] = Events(tuple(events))

    def flush(self, rest: NDArray[Any], write: dict[str, Stream]) -> None:
        self._close("end")
        if self._pending:
            write["events"].reserve(1)[0] = Events(tuple(self._pending))
            write["events"].commit(1, self.began_ns)
            self._pending = []

    def _close(self, reason: str) -> None:
        """End every event, for `reason`, and forget the past."""
        stream = self.outputs["events"].stream
        at = _middle(stream, max(stream.start, stream.written - 1))
        for (_, label), (scores, hysteresis) in self._watched.items():
            if change := hysteresis.close(at, reason):
                self._pending.append(_event(scores, label, change))
        self._smoothers.clear()
        self._watched.clear()

    def _smooth(self, scores: Scores) -> Scores:
        smoother = self._smoothers.get(scores.head)
        if smoother is None:
            smoother = self._smoothers[scores.head] = self._new_smoother()
        top_k = self.params.top_k or scores.top_k
        smoothed = smoother(scores.activations)
        return Scores(scores.head, scores.model, scores.version, scores.labels, smoothed, top_k)

    def _new_smoother(self) -> Smoother:
        segments = self.params.window_s * float(self.reader.stream.token_type.rate)
        match self.params.smoothing:
            case "mean":
                return mean_smoother(max(1, round(segments)))
            case "median":
                return median_smoother(max(1, round(segments)))
            case "exponential":
                return exponential_smoother(segments)
        return lambda activations: activations

    def _changes(self, scores: Scores, at: Fraction) -> list[Event]:
        events = []
        if self._rules:
            for index, label in enumerate(scores.labels):
                rule = self._rules.get(label) or self._rules.get("*")
                if rule is None:
                    continue
                key = (scores.head, label)
                _, hysteresis = self._watched.get(key) or (None, _hysteresis(rule))
                self._watched[key] = (scores, hysteresis)
                if change := hysteresis(at, float(scores.activations[index])):
                    events.append(_event(scores, label, change))
        return events


def _middle(stream: Stream, token: int) -> Fraction:
    """Middle of the span that `token` was computed from, seconds from the start of the source."""
    start, end = stream.seconds(token)
    return (start + end) / 2


def _hysteresis(rule: EventRule) -> Hysteresis:
    below = rule.above if rule.below is None else rule.below
    return Hysteresis(rule.above, below, Fraction(rule.least_s))


def _event(scores: Scores, label: str, change: Change) -> Event:
    return Event(
        scores.head,
        scores.model,
        scores.version,
        label,
        change.change,
        change.at,
        change.activation,
        change.reason,
    )
