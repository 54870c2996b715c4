"""What the Publisher says of what the other nodes found."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.context import Context
from auricle.engine.graph import Graph
from auricle.engine.node import Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.provenance import Provenance
from auricle.engine.run import Run
from auricle.engine.scheduler import run_offline
from auricle.engine.transform import Transform
from auricle.errors import ConfigError, InputError
from auricle.nodes.predictions import FLOAT32, Event, Events, Prediction, Scores
from auricle.nodes.sinks.publisher import Publisher
from auricle.wire.client import Subscriber
from auricle.wire.server import Server
from auricle.wire.settings import WireSpec
from tests.toys import Player

RATE = 16000
WINDOW, HOP = 400, 200
STARTS = (0, 2**31 - 5, 2**53)

Sent = tuple[str, dict[str, Any]]


class Outbox:
    """Takes messages as the engine's server does, and keeps them."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.arrays: list[tuple[str, dict[str, Any], NDArray[Any]]] = []

    def publish(
        self, stream: str, kind: str, message: dict[str, Any], since_ns: int | None = None
    ) -> None:
        assert stream == "demo"
        self.sent.append((kind, message))

    def publish_array(
        self,
        stream: str,
        kind: str,
        header: dict[str, Any],
        values: NDArray[Any],
        since_ns: int | None = None,
    ) -> None:
        assert stream == "demo"
        self.arrays.append((kind, header, values.copy()))

    def kinds(self, *kinds: str) -> list[dict[str, Any]]:
        return [message for kind, message in self.sent if kind in kinds]


class Scorer(Transform):
    """Two heads, and the mean of each window as an array; sleeps and skips where told."""

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
    tags, mood = outbox.kinds("tags"), outbox.kinds("mood")
    assert [message["index"] for message in tags] == [0, 1, 2, 3]
    assert [message["span"] for message in tags] == [[0, 400], [200, 600], [400, 800], [600, 1000]]
    second = tags[1]
    assert second["values"] == [("b", 0.75), ("c", 0.5)]
    assert (second["model"], second["model_version"], second["rung"], second["flags"]) == (
        "musicnn",
        "1",
        0,
        [],
    )
    assert (second["start"], second["end"], second["sample_rate"]) == (0.0125, 0.0375, RATE)
    assert abs(second["utc"] - time.time()) < 60
    assert [message["values"] for message in mood] == [[("happy", 0.25)]] * 4


def test_utc_is_that_of_the_last_sample() -> None:
    outbox = Outbox()
    g, _ = graph(total=3 * RATE, blocks=(3 * RATE,))
    run_offline(g, context(outbox))
    clock = g.streams()[0].clock
    for message in outbox.kinds("tags")[::50]:
        assert message["utc"] == pytest.approx(clock.utc_ns(message["span"][1]) / 1e9, abs=1e-3)


def test_stages_add_up_to_the_whole() -> None:
    server = Server(WireSpec(publish="tcp://127.0.0.1:*"))
    server.start()
    with Subscriber(server.addresses["publish"], ["demo/tags"]) as subscriber:
        g, _ = graph(scorer=Scorer("score", work_s=0.02), blocks=(400, 200), total=800)
        before = time.time()
        run_offline(g, context(server))
        latencies = []
        while len(latencies) < 3:
            message = subscriber.receive(5)
            assert message is not None
            latencies.append(message.content["latency"])
        took_s = time.time() - before
    server.stop()
    for latency in latencies:
        assert set(latency) == {"capture", "queue", "inference", "publish", "total"}
        assert all(seconds >= 0 for seconds in latency.values())
        assert latency["inference"] >= 0.02
        total = latency.pop("total")
        assert total == pytest.approx(sum(latency.values()))
        assert total < took_s


def test_waiting_is_told_from_work() -> None:
    outbox = Outbox()
    g, _ = graph(scorer=Scorer("score", work_s=0.02), blocks=(800,), total=800)
    run_offline(g, context(outbox))
    # Three windows came at once: the last waited while the first two were computed.
    third = outbox.kinds("tags")[2]["latency"]
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
def test_gaps_are_told_once_and_flag_what_touches_them(start: int, blocks: tuple[int, ...]) -> None:
    outbox = Outbox()
    gaps = ((390, 20, "xrun"), (650, 160, "reconnect"))
    play(outbox, start=start, blocks=blocks, gaps=gaps)
    assert [
        (message["reason"], message["span"], message["seconds"]) for message in outbox.kinds("gap")
    ] == [
        ("xrun", [390, 410], 20 / RATE),
        ("reconnect", [650, 810], 0.01),
    ]
    flags = [message["flags"] for message in outbox.kinds("tags")]
    assert flags == [
        ["gap:xrun"],
        ["gap:xrun"],
        ["gap:xrun", "gap:reconnect"],
        ["gap:reconnect"],
    ]


def test_many_gaps_at_once_are_told_once_each() -> None:
    """Three streams bring each of them, all in one pass."""
    outbox = Outbox()
    gaps = tuple((10 * n, 3, ("xrun", "hole")[n % 2]) for n in range(1, 301))
    play(outbox, total=3200, blocks=(5000,), gaps=gaps)
    assert [message["span"][0] for message in outbox.kinds("gap")] == [
        first for first, _, _ in gaps
    ]


def test_a_gap_is_told_before_the_predictions_that_touch_it() -> None:
    outbox = Outbox()
    play(outbox, gaps=((500, 10, "xrun"),))
    kinds = [kind for kind, message in outbox.sent if kind == "gap" or message.get("flags")]
    assert kinds[0] == "gap"


def test_skips_are_told_and_have_no_prediction() -> None:
    outbox = Outbox()
    g, publisher = graph(scorer=Scorer("score", skips=(1, 2)))
    run_offline(g, context(outbox))
    assert [message["index"] for message in outbox.kinds("tags")] == [0, 3]
    skips = outbox.kinds("skip")
    assert [(skip["reason"], skip["count"], skip["span"]) for skip in skips] == [
        ("overload", 1, [200, 600]),
        ("overload", 1, [400, 800]),
    ]
    assert publisher.counts == {"skipped:overload": 2}


def test_events_say_what_when_and_why() -> None:
    outbox = Outbox()
    play(outbox)
    events = outbox.kinds("events")
    assert [event["sample"] for event in events] == [0, 600]
    assert abs(events[1].pop("utc") - time.time()) < 60
    assert {"capture", "queue", "inference"} <= events[1].pop("latency").keys()
    assert events[1] == {
        "head": "tags",
        "model": "musicnn",
        "model_version": "1",
        "label": "b",
        "event": "on",
        "at": 0.0375,
        "sample": 600,
        "sample_rate": RATE,
        "activation": 0.5,
        "reason": "gap",
    }


def test_arrays_go_out_under_the_name_of_their_port() -> None:
    outbox = Outbox()
    play(outbox, blocks=(5000,))
    assert {kind for kind, _, _ in outbox.arrays} == {"means"}
    assert all(
        {"capture", "queue", "inference"} <= header["latency"].keys()
        for _, header, _ in outbox.arrays
    )
    assert [header["index"] for _, header, _ in outbox.arrays] == [0, 1, 2, 3]
    _, header, values = outbox.arrays[-1]
    assert (header["span"], header["count"], header["end"]) == ([600, 1000], 1, 1000 / RATE)
    assert (header["rate"], header["axes"]) == (RATE / HOP, ["token"])
    np.testing.assert_allclose(values, [800.5])


def test_an_array_of_many_tokens_spans_them_all_and_bears_their_flags() -> None:
    outbox = Outbox()
    publisher = Publisher("publish")
    player = Player("input", np.ones(300, np.float32), blocks=(300,), gaps=((250, 10, "xrun"),))
    run_offline(Graph("demo", [player, publisher], [("input", "publish.arrays")]), context(outbox))
    # Cut where the gap begins, as every reader's windows are.
    places = [
        (header["span"], header["flags"], values.shape) for _, header, values in outbox.arrays
    ]
    assert places == [([0, 250], [], (250,)), ([250, 300], ["gap:xrun"], (50,))]


def test_the_end_comes_once_and_last() -> None:
    outbox = Outbox()
    g, publisher = graph()
    run_offline(g, context(outbox))
    publisher.stop()
    assert [kind for kind, _ in outbox.sent].count("end") == 1
    assert outbox.sent[-1] == ("end", {"reason": "finished", "seconds": 1100 / RATE})


def test_a_stream_that_is_stopped_ends_too() -> None:
    outbox = Outbox()
    run = Run(graph(blocks=(10,))[0], context(outbox))
    run.start()
    run.advance()
    run.request_stop()
    run.advance()
    run.close()
    assert outbox.sent == [("end", {"reason": "stopped", "seconds": 10 / RATE})]


def test_an_error_is_told_instead_of_the_end() -> None:
    class Broken(Scorer):
        def process(self) -> Status:
            raise InputError("the line was cut")

    outbox = Outbox()
    with pytest.raises(InputError):
        play(outbox, scorer=Broken("score"))
    assert outbox.sent == [("error", {"error": "score: the line was cut", "node": "score"})]


def test_without_an_outlet_it_does_not_start() -> None:
    with pytest.raises(ConfigError, match="publish: no outlet"):
        play(None)


@pytest.mark.parametrize("head", ["end", "gap", "events"])
def test_a_head_named_like_another_kind_is_refused(head: str) -> None:
    with pytest.raises(ConfigError, match=f"publish: head '{head}' has the name of another kind"):
        play(Outbox(), scorer=Scorer("score", head))
