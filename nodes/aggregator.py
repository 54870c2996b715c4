"""The node that smooths scores over time and derives events from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from auricle.engine.command import Change as NodeChange
from auricle.engine.command import Command
from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Stream
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, NothingToChangeError, describe_invalid, did_you_mean
from auricle.nodes.predictions import SILENCE, Event, Events, Prediction, Scores
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
    gate: bool = Field(
        True,
        description="No events in segments that are flagged as silence; what is on goes off.",
    )


class Aggregator(Transform[AggregatorParams]):
    """Scores smoothed over time, head by head, and labels that come on and go off.

    The time of an event is the middle of the segment that began it: the centre of what the model
    heard. Smoothing and events start again after a gap; a label that is on goes off at the gap, and
    in silence.

    Smoothing, events and top_k change by command while the graph runs. The control thread replaces
    the parameters in use as a whole; the stream's thread reads them once a call.

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
        self._wanted = self.params  # replaced by the control thread
        self._used = self.params
        self._rules = {rule.label: rule for rule in self.params.events}
        self._smoothers: dict[str, Smoother] = {}
        self._watched: dict[tuple[str, str], tuple[Scores, Hysteresis]] = {}
        self._pending: list[Event] = []

    def connected(self) -> None:
        self.outputs["predictions"].labels = self.inputs["predictions"].offered[0].labels
        self._check_labels(self.params)

    def _check_labels(self, params: AggregatorParams) -> None:
        """Refuse rules of labels that no head has, if the labels are known."""
        offered = self.inputs["predictions"].offered
        labels = offered[0].labels if offered else None
        if labels is None:
            return
        for rule in params.events:
            if rule.label not in labels and rule.label != "*":
                known = ", ".join(labels[:SHOWN_LABELS]) + ", ..." * (len(labels) > SHOWN_LABELS)
                what = f"events: no label {rule.label!r}{did_you_mean(rule.label, labels)}"
                raise ConfigError(f"{what}; labels are: {known}", node=self.name)

    # -- Commands, on the control thread ------------------------------------------------------

    def commands(self) -> Mapping[str, Command]:
        return {
            "smoothing": self.change_smoothing,
            "events": self.change_events,
            "top-k": self.change_top_k,
        }

    def settings(self) -> dict[str, Any]:
        return self._wanted.model_dump(mode="json")

    def change_smoothing(
        self, smoothing: str | None = None, window_s: float | None = None, node: str | None = None
    ) -> NodeChange:
        """Smooth otherwise from the next segment on; the past is forgotten.

        Args:
            smoothing: none, mean, exponential or median; None keeps the present one.
            window_s: Seconds that smoothing looks back; None keeps the present number.
            node: Name of the only node to change; None for all.

        Returns:
            The change, which returns both.

        Raises:
            ConfigError: A value is invalid.
        """
        given = {"smoothing": smoothing, "window_s": window_s}
        return self._change(node, {name: each for name, each in given.items() if each is not None})

    def change_events(
        self, events: Sequence[Mapping[str, Any]], node: str | None = None
    ) -> NodeChange:
        """Replace the rules of events from the next segment on; what is on goes off.

        Args:
            events: Rules as in a graph file: maps with `label`, `above`, `below` and `least_s`.
            node: Name of the only node to change; None for all.

        Returns:
            The change, which returns the rules.

        Raises:
            ConfigError: A rule is invalid, or names a label that no head has.
        """
        return self._change(node, {"events": events})

    def change_top_k(self, top_k: int | None, node: str | None = None) -> NodeChange:
        """Publish another number of labels from the next segment on.

        Args:
            top_k: Most labels in a prediction, strongest first; None for all.
            node: Name of the only node to change; None for all.

        Returns:
            The change, which returns the number.

        Raises:
            ConfigError: It is not a positive integer.
        """
        return self._change(node, {"top_k": top_k})

    def _change(self, node: str | None, values: Mapping[str, Any]) -> NodeChange:
        if node not in (None, self.name):
            raise NothingToChangeError(f"this node is not {node!r}", node=self.name)
        before = self._wanted.model_dump(exclude_unset=True)
        try:
            wanted = AggregatorParams.model_validate({**before, **values})
        except ValidationError as error:
            raise ConfigError(describe_invalid(error), node=self.name) from None
        self._check_labels(wanted)

        def change() -> dict[str, Any]:
            self._wanted = wanted
            return {name: wanted.model_dump(mode="json")[name] for name in values}

        return change

    def _adopt(self) -> None:
        """Use the parameters that a command has set; on the stream's thread."""
        before, self._used = self._used, self._wanted
        if before.events != self._used.events:
            self._close_events("settings", self._last_middle())
            self._rules = {rule.label: rule for rule in self._used.events}
        if (before.smoothing, before.window_s) != (self._used.smoothing, self._used.window_s):
            self._smoothers.clear()

    # -- Segments, on the stream's thread ----------------------------------------------------

    def reset(self) -> None:
        self._close("gap")

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        if self._wanted is not self._used:
            self._adopt()
        stream = self.outputs["events"].stream
        for row, prediction in enumerate(windows):
            at = _middle(stream, stream.written + row)
            smoothed = tuple(self._smooth(scores) for scores in prediction.scores)
            if self._is_silent(self.reader.position + row):
                self._close_events(SILENCE, at)
                events = self._pending
            else:
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

    def _is_silent(self, token: int) -> bool:
        """Whether a token of the input is gated."""
        return self._used.gate and SILENCE in self.reader.remark_reasons(token, token + 1)

    def _close(self, reason: str) -> None:
        """End every event, for `reason`, and forget the past."""
        self._close_events(reason, self._last_middle())
        self._smoothers.clear()

    def _last_middle(self) -> Fraction:
        """Middle of the span of the last token that was written."""
        stream = self.outputs["events"].stream
        return _middle(stream, max(stream.start, stream.written - 1))

    def _close_events(self, reason: str, at: Fraction) -> None:
        """End every event at `at` seconds, for `reason`."""
        for (_, label), (scores, hysteresis) in self._watched.items():
            if change := hysteresis.close(at, reason):
                self._pending.append(_event(scores, label, change))
        self._watched.clear()

    def _smooth(self, scores: Scores) -> Scores:
        smoother = self._smoothers.get(scores.head)
        if smoother is None:
            smoother = self._smoothers[scores.head] = self._new_smoother()
        top_k = self._used.top_k or scores.top_k
        smoothed = smoother(scores.activations)
        return Scores(scores.head, scores.model, scores.version, scores.labels, smoothed, top_k)

    def _new_smoother(self) -> Smoother:
        segments = self._used.window_s * float(self.reader.stream.token_type.rate)
        match self._used.smoothing:
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
