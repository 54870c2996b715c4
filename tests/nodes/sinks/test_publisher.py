"""What the Publisher says of what the other nodes found."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from msgspec import UNSET
from numpy.typing import NDArray

from auricle.engine.context import Context
from auricle.engine.graph import Graph
from auricle.engine.node import Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.provenance import Provenance
from auricle.engine.run import Run
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, InputError
from auricle.nodes.predictions import FLOAT32, Event, Events, Prediction, Scores
from auricle.nodes.sinks.publisher import Publisher
from auricle.wire import messages
from auricle.wire.client import Subscriber
from auricle.wire.messages import Message
from auricle.wire.server import Server
from auricle.wire.settings import WireSpec

RATE = 16000
WINDOW, HOP = 400, 200
STARTS = (0, 2**31 - 5, 2**53)

M = TypeVar("M", bound=Message)


class Outbox:
    """Takes messages as the engine's server does, and keeps them."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: object, since_ns: int | None = None) -> None:
        assert isinstance(message, Message)
        assert message.stream == "demo"
        assert (since_ns is not None) == isinstance(message, messages.Computed)
        if isinstance(message, messages.Array) and message.values is not UNSET:
            message = msgspec.structs.replace(message, values=message.values.copy())
        self.sent.append(message)

    def all(self, kind: type[M]) -> list[M]:
        return [message for message in self.sent if isinstance(message, kind)]

    def of_head(self, head: str) -> list[messages.Prediction]:
        return [each for each in self.all(messages.Prediction) if each.head == head]


class Scorer(Transform):
    """Two heads, and the mean of each window as an array; sleeps and skips where asked to."""

    stage = "inference"

    def __init__(
        self, name: str, head: str = "tags", skips: tuple[int, ...] = (), work_s: float = 0
    ) -> None:
        super().__init__(name)
        audio = self.add_input(
            InputPort("audio", "Samples.", FLOAT32, frame_size=WINDOW, hop_size=HOP)
        )
        self.add_output(OutputPort("predictions", "Scores.", Prediction, follows=audio))
        self.add_output(OutputPort("means", "Means.", FLOAT32, follows=audio))
        self.head, self.skips, self.work_s = head, skips, work_s

    def declined(self, count: int) -> tuple[int, str | None]:
        return 1, "overload" if self.reader.number in self.skips else None

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        time.sleep(self.work_s)
        activations = np.array([0.25, 0.75, 0.5], np.float32)
        first = Scores(self.head, "musicnn", "1", ("a", "b", "c"), activations, 2)
        second = Scores("mood", "mood", "2", ("happy",), activations[:1])
        outputs["predictions"][0] = Prediction((first, second))
        outputs["means"][0] = windows.mean()


class Teller(Transform):
    """An event with every third prediction."""

    stage = "aggregation"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        scores = self.add_input(InputPort("predictions", "Scores.", Prediction))
        self.add_output(OutputPort("events", "Events.", Events, follows=scores))

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        for row in range(len(windows)):
            number = self.reader.number + row
            event = Event("tags", "musicnn", "1", "b", "on", Fraction(number, 80), 0.5, "gap")
            outputs["events"][row] = Events((event,) if number % 3 == 0 else ())


def graph(
    total: int = 1100, start: int = 0, scorer: Scorer | None = None, **source: Any
) -> tuple[Graph, Publisher]:
    publisher = Publisher("publish")
    samples = np.arange(1, total + 1, dtype=np.float32)
    nodes = [
        Player("input", samples, **source),
        scorer or Scorer("score"),
        Teller("tell"),
        publisher,
    ]
    edges = [
        ("input", "score"),
        ("score.predictions", "publish.predictions"),
        ("score.means", "publish.arrays"),
        ("score.predictions", "tell"),
        ("tell", "publish.events"),
    ]
    return Graph("demo", nodes, edges, start), publisher


def context(outlet: Any) -> Context:
    """What a graph called demo is given whose messages go to `outlet`."""
    return Context("demo", outlet=outlet)


def play(outlet: Any, **options: Any) -> None:
    """Run a graph to its end."""
    run_offline(graph(**options)[0], context(outlet))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", [(64,), (1, 613), (5000,)])
def test_a_prediction_says_where_and_what(start: int, blocks: tuple[int, ...]) -> None:
    outbox = Outbox()
    play(outbox, start=start, blocks=blocks)
    tags, mood = outbox.of_head("tags"), outbox.of_head("mood")
    assert [message.index for message in tags] == [0, 1, 2, 3]
    assert [message.span for message in tags] == [(0, 400), (200, 600), (400, 800), (600, 1000)]
    second = tags[1]
    assert second.activations == [("b", 0.75), ("c", 0.5)]
    assert (second.model, second.model_version, second.rung, second.flags) == (
        "musicnn",
        "1",
        0,
        (),
    )
    assert (second.start, second.end, second.sample_rate) == (0.0125, 0.0375, RATE)
    assert abs(second.utc - time.time()) < 60
    assert [message.activations for message in mood] == [[("happy", 0.25)]] * 4


def test_utc_is_that_of_the_last_sample() -> None:
    outbox = Outbox()
    g, _ = graph(total=3 * RATE, blocks=(3 * RATE,))
    run_offline(g, context(outbox))
    clock = g.streams()[0].clock
    for message in outbox.of_head("tags")[::50]:
        assert message.utc == pytest.approx(clock.utc_ns(message.span[1]) / 1e9, abs=1e-3)


def test_stages_add_up_to_the_whole() -> None:
    server = Server(WireSpec(publish="tcp://127.0.0.1:*"))
    server.start()
    with Subscriber(server.addresses["publish"], ["demo/prediction/tags"]) as subscriber:
        g, _ = graph(scorer=Scorer("score", work_s=0.02), blocks=(400, 200), total=800)
        before = time.time()
        run_offline(g, context(server))
        latencies: list[dict[str, float]] = []
        while len(latencies) < 3:
            message = subscriber.receive(5)
            assert isinstance(message, messages.Prediction)
            latencies.append(dict(message.latency))
        took_s = time.time() - before
    server.stop()
    for latency in latencies:
        assert set(latency) == {"capture", "queue", "inference", "publish", "total"}
        assert all(seconds >= 0 for seconds in latency.values())
        assert latency["inference"] >= 0.02
        total = latency.pop("total")
        assert total == pytest.approx(sum(latency.values()))
        assert total < took_s


def test_waiting_is_distinguished_from_work() -> None:
    outbox = Outbox()
    g, _ = graph(scorer=Scorer("score", work_s=0.02), blocks=(800,), total=800)
    run_offline(g, context(outbox))
    # Three windows came together: the last waited while the first two were computed.
    third = outbox.of_head("tags")[2].latency
    assert third["queue"] >= 0.04 * 0.9
    assert 0.02 <= third["inference"] < third["queue"]
    reader = g.nodes["publish"].inputs["events"].reader
    stream = reader.stream
    provenance = Provenance.of(reader, stream.start + 2)
    stages = provenance.latency
    assert set(stages) == {"capture", "queue", "inference", "aggregation"}
    captured_ns = stream.clock.monotonic_ns(stream.span(stream.start + 2)[1])
    assert sum(stages.values()) == pytest.approx((provenance.done_ns - captured_ns) / 1e9)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", [(64,), (1, 613), (5000,)])
def test_gaps_are_reported_once_and_flag_what_touches_them(
    start: int, blocks: tuple[int, ...]
) -> None:
    outbox = Outbox()
    gaps = ((390, 20, "xrun"), (650, 160, "reconnect"))
    play(outbox, start=start, blocks=blocks, gaps=gaps)
    assert [(gap.reason, gap.span, gap.seconds) for gap in outbox.all(messages.Gap)] == [
        ("xrun", (390, 410), 20 / RATE),
        ("reconnect", (650, 810), 0.01),
    ]
    first = outbox.all(messages.Gap)[0]
    assert (first.start, first.end, first.sample_rate) == (390 / RATE, 410 / RATE, RATE)
    assert abs(first.utc - time.time()) < 60
    assert [message.flags for message in outbox.of_head("tags")] == [
        ("gap:xrun",),
        ("gap:xrun",),
        ("gap:xrun", "gap:reconnect"),
        ("gap:reconnect",),
    ]


def test_many_gaps_at_once_are_reported_once_each() -> None:
    """Three streams bring each of them, all in one pass."""
    outbox = Outbox()
    gaps = tuple((10 * n, 3, ("xrun", "hole")[n % 2]) for n in range(1, 301))
    play(outbox, total=3200, blocks=(5000,), gaps=gaps)
    assert [gap.span[0] for gap in outbox.all(messages.Gap)] == [first for first, _, _ in gaps]


def test_a_gap_is_reported_before_the_predictions_that_touch_it() -> None:
    outbox = Outbox()
    play(outbox, gaps=((500, 10, "xrun"),))
    touched = [each for each in outbox.sent if each.type == "gap" or getattr(each, "flags", None)]
    assert touched[0].type == "gap"
    assert len(touched) > 1


def test_skips_are_reported_and_have_no_prediction() -> None:
    outbox = Outbox()
    g, publisher = graph(scorer=Scorer("score", skips=(1, 2)))
    run_offline(g, context(outbox))
    assert [message.index for message in outbox.of_head("tags")] == [0, 3]
    skips = outbox.all(messages.Skip)
    assert [(skip.reason, skip.count, skip.span) for skip in skips] == [
        ("overload", 1, (200, 600)),
        ("overload", 1, (400, 800)),
    ]
    assert publisher.counts == {"skipped:overload": 2}


def test_events_say_what_when_and_why() -> None:
    outbox = Outbox()
    play(outbox)
    events = outbox.all(messages.Event)
    assert [event.at_sample for event in events] == [0, 600]
    event = events[1]
    assert event.topic == "demo/event/tags"
    assert abs(event.at_utc - time.time()) < 60
    assert {"capture", "queue", "inference"} <= event.latency.keys()
    assert (event.head, event.model, event.model_version) == ("tags", "musicnn", "1")
    assert (event.label, event.change, event.activation, event.reason) == ("b", "on", 0.5, "gap")
    assert (event.at, event.sample_rate) == (0.0375, RATE)
    # The segment that showed it.
    assert (event.index, event.span, event.end) == (3, (600, 1000), 1000 / RATE)
    assert event.utc - event.at_utc == pytest.approx(400 / RATE, abs=1e-3)


def test_arrays_go_out_under_the_name_of_their_port() -> None:
    outbox = Outbox()
    play(outbox, blocks=(5000,))
    arrays = outbox.all(messages.Array)
    assert {array.topic for array in arrays} == {"demo/array/means"}
    assert all({"capture", "queue", "inference"} <= array.latency.keys() for array in arrays)
    assert [array.index for array in arrays] == [0, 1, 2, 3]
    array = arrays[-1]
    assert (array.span, array.count, array.end) == ((600, 1000), 1, 1000 / RATE)
    assert (array.rate, array.axes) == (RATE / HOP, ("token",))
    np.testing.assert_allclose(values_of(array), [800.5])


def values_of(array: messages.Array) -> NDArray[Any]:
    assert isinstance(array.values, np.ndarray)
    return array.values


def test_an_array_of_many_tokens_spans_them_all_and_bears_their_flags() -> None:
    outbox = Outbox()
    publisher = Publisher("publish")
    player = Player("input", np.ones(300, np.float32), blocks=(300,), gaps=((250, 10, "xrun"),))
    run_offline(Graph("demo", [player, publisher], [("input", "publish.arrays")]), context(outbox))
    # Cut where the gap begins, as every reader's windows are.
    places = [(each.span, each.flags, values_of(each).shape) for each in outbox.all(messages.Array)]
    assert places == [((0, 250), (), (250,)), ((250, 300), ("gap:xrun",), (50,))]


def test_the_end_comes_once_and_last() -> None:
    outbox = Outbox()
    g, publisher = graph()
    run_offline(g, context(outbox))
    publisher.stop()
    assert len(outbox.all(messages.End)) == 1
    assert outbox.sent[-1] == messages.End(stream="demo", reason="finished", seconds=1100 / RATE)


def test_a_stream_that_is_stopped_ends_too() -> None:
    outbox = Outbox()
    run = Run(graph(blocks=(10,))[0], context(outbox))
    run.start()
    run.advance()
    run.request_stop()
    run.advance()
    run.close()
    assert outbox.sent == [messages.End(stream="demo", reason="stopped", seconds=10 / RATE)]


def test_an_error_is_reported_instead_of_the_end() -> None:
    class Broken(Scorer):
        def process(self) -> Status:
            raise InputError("the line was cut")

    outbox = Outbox()
    with pytest.raises(InputError):
        play(outbox, scorer=Broken("score"))
    error = messages.Error(stream="demo", error="score: the line was cut", node="score")
    assert outbox.sent == [error]


def test_without_an_outlet_it_does_not_start() -> None:
    with pytest.raises(ConfigError, match="publish: no outlet"):
        play(None)


@pytest.mark.parametrize("head", ["end", "gap", "event", "heartbeat"])
def test_a_head_may_be_called_like_a_type_of_message(head: str) -> None:
    outbox = Outbox()
    play(outbox, scorer=Scorer("score", head))
    assert {each.topic for each in outbox.of_head(head)} == {f"demo/prediction/{head}"}
