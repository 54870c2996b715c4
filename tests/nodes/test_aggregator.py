"""The aggregator in a graph: smoothed scores, and events with their exact times."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Remark
from auricle.engine.node import Source, Status
from auricle.engine.port import OutputPort
from auricle.engine.run import Run
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Recorder
from auricle.errors import ConfigError
from auricle.nodes.aggregator import Aggregator
from auricle.nodes.predictions import SILENCE, Events, Prediction, Scores

RATE = Fraction(2)
"""Segments a second, each of half a second, so that segment n is centred on (n + 1/2) / 2 s."""


class Script(Source):
    """Says scores of two heads: activations of `a`, and of `b` one minus that."""

    def __init__(
        self,
        name: str,
        activations: list[float],
        gap: tuple[int, int] | None = None,
        labels: tuple[str, ...] | None = None,
        silent: tuple[int, ...] = (),
    ) -> None:
        super().__init__(name)
        self.out = self.add_output(
            OutputPort("predictions", "", Prediction, rate=RATE, labels=labels)
        )
        self.activations, self.gap_at, self.said = activations, gap, 0
        self.silent = silent

    def process(self) -> Status:
        stream = self.out.stream
        if self.said == len(self.activations):
            stream.end()
            return Status.FINISHED
        if self.gap_at and self.gap_at[0] == self.said:
            start, stop = self.gap_at
            stream.mark(Gap(stream.start + start, stream.start + stop, "xrun", (start, stop)))
        if self.said in self.silent:
            token = stream.start + self.said
            stream.mark(Remark(token, token + 1, SILENCE, (self.said, self.said + 1)))
        value = self.activations[self.said]
        array = np.array([value, 1 - value], np.float32)
        heads = tuple(Scores(head, "m", "1", ("a", "b"), array) for head in ("one", "two"))
        stream.reserve(1)[0] = Prediction(heads)
        stream.commit(1)
        self.said += 1
        return Status.OK


def run(
    activations: list[float],
    gap: tuple[int, int] | None = None,
    silent: tuple[int, ...] = (),
    **params: Any,
) -> tuple[Recorder, Recorder]:
    predictions, events = Recorder("predictions", Prediction), Recorder("events", Events)
    nodes = [
        Script("script", activations, gap, silent=silent),
        Aggregator("tags", **params),
        predictions,
        events,
    ]
    edges = [("script", "tags"), ("tags.predictions", "predictions"), ("tags.events", "events")]
    run_offline(Graph("g", nodes, edges))
    return predictions, events


def changes(events: Recorder, head: str = "one") -> list[tuple[str, str, float, str | None]]:
    found = [
        event for token in events.tokens.values() for event in token.events if event.head == head
    ]
    return [(event.label, event.change, float(event.at), event.reason) for event in found]


def test_each_head_is_smoothed_by_itself_over_seconds() -> None:
    predictions, _ = run([0, 0.6, 0.3, 0.9], smoothing="mean", window_s=1, top_k=1)
    tokens = [predictions.tokens[n] for n in range(4)]
    assert [[s.head for s in token.scores] for token in tokens] == [["one", "two"]] * 4
    # Two segments a second, so one second is two of them.
    np.testing.assert_allclose(
        [t.scores[1].activations[0] for t in tokens], [0, 0.3, 0.45, 0.6], atol=1e-6
    )
    assert [label for label, _ in tokens[0].scores[0].ranked()] == ["b"]


def test_events_bear_the_middle_of_the_segment_that_began_them() -> None:
    rule = {"label": "a", "above": 0.5, "below": 0.3, "least_s": 0.9}
    activations = [0.0, 0.9, 0.9, 0.9, 0.4, 0.1, 0.9, 0.1]
    _, events = run(activations, smoothing="none", events=[rule])
    assert changes(events) == [("a", "on", 0.75, None), ("a", "off", 2.75, None)]
    changed = [n for n, token in events.tokens.items() if token.events]
    assert changed == [3, 5], "it is on for sure once it has lasted"


def test_star_is_every_label_that_no_rule_names() -> None:
    rules = [{"label": "a", "above": 0.99}, {"label": "*", "above": 0.5}]
    _, events = run([0.2, 0.9, 0.2], smoothing="none", events=rules)
    assert [change[:3] for change in changes(events)] == [
        ("b", "on", 0.25),
        ("b", "off", 0.75),
        ("b", "on", 1.25),
        ("b", "off", 1.25),
    ]


def test_end_of_the_stream_ends_what_is_on() -> None:
    _, events = run([0.9, 0.9], smoothing="none", events=[{"label": "a"}])
    assert changes(events) == [("a", "on", 0.25, None), ("a", "off", 0.75, "end")]


def test_gap_ends_what_is_on_and_begins_again() -> None:
    predictions, events = run(
        [1.0, 1.0, 1.0, 0.6, 0.6], gap=(3, 4), smoothing="mean", window_s=2, events=[{"label": "a"}]
    )
    assert changes(events) == [
        ("a", "on", 0.25, None),
        ("a", "off", 1.25, "gap"),
        ("a", "on", 1.75, None),
        ("a", "off", 2.25, "end"),
    ]
    assert float(predictions.tokens[3].scores[0].activations[0]) == pytest.approx(0.6)


def test_rules_for_labels_that_nothing_gives() -> None:
    """Where the labels are fixed, also by another aggregator in between."""

    def build(labels: tuple[str, ...] | None) -> Graph:
        watching = Aggregator("second", events=[{"label": "*"}, {"label": "pianoo"}])
        nodes = [Script("script", [0.5], labels=labels), Aggregator("first"), watching]
        return Graph("g", nodes, [("script", "first"), ("first.predictions", "second")])

    build(None)
    with pytest.raises(ConfigError) as caught:
        build(("piano", "voice"))
    said = "no label 'pianoo' (did you mean piano?); labels are: piano, voice"
    assert str(caught.value) == f"second: events: {said}"


def test_rules_that_contradict_themselves() -> None:
    with pytest.raises(ConfigError, match=r"tags: .*below=0.6 must not be more than above=0.5"):
        Aggregator("tags", events=[{"label": "a", "above": 0.5, "below": 0.6}])


# -- silence ---------------------------------------------------------------------------------------

RULE: dict[str, Any] = {"events": [{"label": "a", "above": 0.5}]}


def test_silence_ends_what_is_on_and_nothing_comes_on_in_it() -> None:
    loud = [0.0, 0.9, 0.9, 0.9, 0.9, 0.9]
    _, events = run(loud, silent=(2, 3), smoothing="none", **RULE)
    assert changes(events) == [
        ("a", "on", 0.75, None),
        ("a", "off", 1.25, "silence"),
        ("a", "on", 2.25, None),
        ("a", "off", 2.75, "end"),
    ]


def test_scores_in_silence_are_what_they_were() -> None:
    script = [0.1, 0.9, 0.4, 0.7]
    with_it, _ = run(script, silent=(1, 2), window_s=2)
    without, _ = run(script, window_s=2)
    for number, token in without.tokens.items():
        for one, other in zip(token.scores, with_it.tokens[number].scores, strict=True):
            np.testing.assert_array_equal(one.activations, other.activations)
    remarks = [mark for mark in with_it.marks if isinstance(mark, Remark)]
    assert [(mark.reason, mark.source) for mark in remarks] == [
        (SILENCE, (1, 2)),
        (SILENCE, (2, 3)),
    ]


def test_a_gate_that_is_left_open_changes_nothing() -> None:
    loud = [0.0, 0.9, 0.9, 0.9]
    _, events = run(loud, silent=(2,), smoothing="none", gate=False, **RULE)
    assert changes(events) == [("a", "on", 0.75, None), ("a", "off", 1.75, "end")]


# -- commands --------------------------------------------------------------------------------------


def graph_of(aggregator: Aggregator, activations: list[float]) -> tuple[Graph, Recorder, Recorder]:
    predictions, events = Recorder("predictions", Prediction), Recorder("events", Events)
    script = Script("script", activations, labels=("a", "b"))
    edges = [("script", "tags"), ("tags.predictions", "predictions"), ("tags.events", "events")]
    return Graph("g", [script, aggregator, predictions, events], edges), predictions, events


def test_settings_change_from_the_next_segment_on() -> None:
    tags = Aggregator("tags", smoothing="mean", window_s=1, top_k=1, **RULE)
    graph, predictions, events = graph_of(tags, [0.8] * 4)
    run = Run(graph)
    run.start()
    while len(predictions.tokens) < 2:
        run.advance()
    commands = tags.commands()
    assert commands["smoothing"](smoothing="none")() == {"smoothing": "none"}
    assert commands["top-k"](top_k=None)() == {"top_k": None}
    rule = {"label": "b", "above": 0.1, "below": None, "least_s": 0.0}
    assert commands["events"](events=[{"label": "b", "above": 0.1}])() == {"events": [rule]}
    assert len(predictions.tokens) < 4, "some were still to come"
    while run.advance():
        pass
    run.close()
    assert [predictions.tokens[n].scores[0].top_k for n in (0, 3)] == [1, None]
    assert changes(events) == [
        ("a", "on", 0.25, None),
        ("a", "off", 0.75, "settings"),
        ("b", "on", 1.25, None),
        ("b", "off", 1.75, "end"),
    ]
    same = Aggregator("tags", **tags.settings())
    assert same.settings() == tags.settings()
    assert (same.params.smoothing, same.params.window_s) == ("none", 1)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("smoothing", {"smoothing": "sometimes"}, "smoothing='sometimes'"),
        ("smoothing", {"window_s": -1}, "window_s=-1"),
        ("top-k", {"top_k": 0}, "top_k=0"),
        ("events", {"events": [{"label": "aa"}]}, r"no label 'aa' .*labels are: a, b"),
        ("events", {"events": [{"label": "a", "above": 2}]}, "above=2"),
        ("events", {"events": "a"}, "events='a'"),
        ("top-k", {"top_k": 1, "node": "other"}, "this node is not 'other'"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    command: str, arguments: dict[str, Any], message: str
) -> None:
    tags = Aggregator("tags", **RULE)
    graph_of(tags, [0.5])
    before = tags.settings()
    with pytest.raises(ConfigError, match=message):
        tags.commands()[command](**arguments)
    assert tags.settings() == before
