"""Several streams joined by their place in the source, against a search through all tokens."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from numpy.typing import NDArray

from auricle.engine.graph import Graph
from auricle.engine.join import Join
from auricle.engine.marks import Gap, Skip
from auricle.engine.node import Node, NodeParams, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.provenance import Provenance
from auricle.engine.scheduler import run_offline
from auricle.engine.stream import Axis
from auricle.engine.testing import CUTS, STARTS, Recorder, run_live
from tests.toys import FLOAT32, Counter, Sums

TOTAL = 700

TWENTIETH = [
    sum(range(81, 85)) + sum(range(83, 87)),
    sum(range(50, 80)) + sum(range(57, 87)),
    sum(range(78, 87)),
]
"""What belongs to window 20 of the clock: it has sums 40 and 41, of the numbers up to 86. The last
slow sums that end there are 7 and 8, since each takes 30 numbers, 7 after the one before."""


class BesideParams(NodeParams):
    clock: tuple[int, int, int] = (2, 2, 0)
    slow: tuple[int, int] = (2, 0)
    raw: tuple[int, int] = (9, 9)


class Beside(Join[BesideParams]):
    """The sums of the windows of three streams, one beside the other; remembers how many it had."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        frame, hop, before = self.params.clock
        clock = self.add_input(InputPort("clock", "Sums.", FLOAT32, None, None, frame, hop, before))
        for port, (frame, before) in (("slow", self.params.slow), ("raw", self.params.raw)):
            self.add_input(
                InputPort(port, "Sums.", FLOAT32, None, None, frame, 1, before, optional=True)
            )
        self.add_output(
            OutputPort("sums", "Three sums.", FLOAT32, (Axis("sum", 4),), follows=clock)
        )
        self.since_reset = 0
        self.resets: list[int] = []

    def reset(self) -> None:
        self.since_reset = 0
        self.resets.append(self.reader.number)

    def combine(
        self, windows: Mapping[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
    ) -> None:
        self.since_reset += 1
        sums = [windows[name].sum() if name in windows else -1 for name in ("clock", "slow", "raw")]
        outputs["sums"][0] = [*sums, self.since_reset]


class Joined:
    """Numbers, sums of them as the clock, longer sums that come slower, and all three joined."""

    def __init__(
        self,
        start: int = 0,
        slow: Sums | None = None,
        edges: tuple[tuple[str, str], ...] = (
            ("fast", "join.clock"),
            ("slow", "join.slow"),
            ("numbers", "join.raw"),
        ),
        beside: Mapping[str, Any] | None = None,
        **source: Any,
    ) -> None:
        source = {"total": TOTAL, **source}
        self.fast = Sums("fast", frame_size=4, hop_size=2, before=0)
        self.slow = slow or Sums("slow", frame_size=30, hop_size=7, before=0)
        self.join = Beside("join", **(beside or {}))
        self.recorders = {name: Recorder(name) for name in ("numbers-", "fast-", "slow-", "join-")}
        nodes: list[Node] = [Counter("numbers", **source), self.fast, self.slow, self.join]
        pairs = [("numbers", "fast"), ("numbers", "slow"), *edges]
        pairs += [(name[:-1], name) for name in self.recorders]
        self.graph = Graph("g", [*nodes, *self.recorders.values()], pairs, start)

    @property
    def found(self) -> dict[int, list[float]]:
        """Tokens by number, without the count since the last reset."""
        return {n: token[:3].tolist() for n, token in self.recorders["join-"].tokens.items()}

    def expected(self) -> tuple[dict[int, list[float]], dict[int, str], dict[int, set[str]]]:
        """By a search through all tokens: sums, reasons of skips, and gaps, by number."""
        recorders, params = self.recorders, self.join.params
        streams = {name: recorder.port.reader.stream for name, recorder in recorders.items()}
        sums, skips, gaps = {}, {}, {}
        frame, hop, before = params.clock
        fast = streams["fast-"]
        for number in range((fast.written - fast.start + before - frame) // hop + 1):
            last = number * hop - before + frame - 1
            end = fast.seconds(fast.start + last)[1]
            windows = {"fast-": range(last - frame + 1, last + 1)}
            for name, (size, ahead) in (("slow-", params.slow), ("numbers-", params.raw)):
                stream, final = streams[name], -1
                while stream.seconds(stream.start + final + 1)[1] <= end:
                    final += 1
                windows[name] = range(final - size + 1, final + 1)
                if final - size + 1 < -ahead:
                    skips[number] = "early"
            touched = {
                (name, reason)
                for name, recorder in recorders.items()
                for token, reason in recorder.places(Gap)
                if token in windows.get(name, ())
            }
            gaps[number] = {reason for _, reason in touched}
            for name, window in windows.items():
                for token, reason in recorders[name].places(Skip):
                    if token in window:
                        skips.setdefault(number, reason)
            if number not in skips:
                sums[number] = [
                    sum(float(recorders[name].tokens[n].sum()) for n in window if n >= 0)
                    for name, window in windows.items()
                ]
        return sums, skips, gaps

    def check(self) -> None:
        """Compare what was found with what is expected."""
        sums, skips, gaps = self.expected()
        recorder = self.recorders["join-"]
        assert self.found == {n: [each[0], each[1], each[2]] for n, each in sums.items()}
        assert recorder.places(Skip) == set(skips.items())
        found = recorder.places(Gap)
        assert found == {(number, reason) for number in gaps for reason in gaps[number]}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_windows_end_together_however_the_source_is_cut(
    start: int, blocks: tuple[int, ...]
) -> None:
    joined = Joined(start, blocks=blocks)
    run_offline(joined.graph)
    joined.check()
    assert joined.found[20] == TWENTIETH
    assert joined.join.counts == {"early": 8}


@pytest.mark.parametrize("clock", [(1, 1, 0), (3, 1, 2), (4, 9, 0), (40, 40, 3)])
@pytest.mark.parametrize("slow", [(1, 0), (1, 1), (5, 4)])
@pytest.mark.parametrize("blocks", [(1,), (640,)], ids=str)
def test_any_windows_of_any_rates(
    clock: tuple[int, int, int], slow: tuple[int, int], blocks: tuple[int, ...]
) -> None:
    joined = Joined(beside={"clock": clock, "slow": slow}, blocks=blocks, gaps=[(300, 9, "xrun")])
    run_offline(joined.graph)
    joined.check()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_gaps_of_any_input_are_carried(start: int, blocks: tuple[int, ...]) -> None:
    gaps = [(200, 9, "xrun"), (260, 1, "hole"), (400, 100, "reconnect")]
    joined = Joined(start, blocks=blocks, gaps=gaps)
    run_offline(joined.graph)
    joined.check()
    assert joined.join.resets, "state is forgotten at each"
    tokens = joined.recorders["join-"].tokens
    first = min(n for n, reason in joined.recorders["join-"].places(Gap) if reason == "reconnect")
    assert tokens[first][3] == 1


@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_skips_of_any_input_skip(blocks: tuple[int, ...]) -> None:
    joined = Joined(blocks=blocks)
    joined.fast.skipping = {90: "hop", 91: "hop"}
    joined.slow.skipping = {40: "overload"}
    run_offline(joined.graph)
    joined.check()
    assert {reason for _, reason in joined.recorders["join-"].places(Skip)} == {
        "early",
        "hop",
        "overload",
    }
    assert joined.join.counts == {"early": 8}, "the others are counted where they were skipped"


def test_live_equals_offline() -> None:
    offline, live = Joined(), Joined(blocks=(3, 50, 1), live=True)
    run_offline(offline.graph)
    run_live(live.graph)
    assert live.found == offline.found
    live.check()


@pytest.mark.parametrize("blocks", [(1,), (10**9,)], ids=str)
def test_rings_much_shorter_than_the_stream_never_block(blocks: tuple[int, ...]) -> None:
    """One window of the clock takes 3 s of 1 s rings, and the raw numbers are needed at its end."""
    beside = {"clock": (150, 150, 0), "raw": (3, 0)}
    joined = Joined(beside=beside, blocks=blocks, total=20_000)
    run_offline(joined.graph)
    joined.check()
    assert len(joined.found) == 66


def test_lineage_follows_the_clock() -> None:
    joined = Joined()
    run_offline(joined.graph)
    stream = joined.join.outputs["sums"].stream
    assert stream.lineage is not None
    assert stream.lineage.upstream is joined.fast.outputs["sums"].stream
    assert stream.span(20) == (80, 86)
    assert stream.token_type.rate == Fraction(25)
    provenance = Provenance.of(joined.recorders["join-"].port.reader, 20)
    assert list(provenance.latency) == ["capture", "queue", "fast", "join"]


def test_optional_inputs_may_be_missing() -> None:
    joined = Joined(edges=(("fast", "join.clock"), ("slow", "join.slow")))
    run_offline(joined.graph)
    assert joined.found[20] == [*TWENTIETH[:2], -1]
    alone = Joined(edges=(("fast", "join.clock"),))
    run_offline(alone.graph)
    assert alone.found[20] == [TWENTIETH[0], -1, -1]
    assert len(alone.found) == 174, "nothing is waited for, and nothing is early"


class Ends(Sums):
    """Ends its output after 50 sums, long before its input."""

    def process(self) -> Status:
        status = super().process()
        if self.reader.number >= 50:
            self.outputs["sums"].stream.end()
            self.reader.close()
            return Status.FINISHED
        return status

    def declined(self, count: int) -> tuple[int, str | None]:
        return 1, None


@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_what_ends_before_the_clock_is_missing_from_there_on(blocks: tuple[int, ...]) -> None:
    joined = Joined(slow=Ends("slow", frame_size=30, hop_size=7, before=0), blocks=blocks)
    run_offline(joined.graph)
    whole = Joined()
    run_offline(whole.graph)
    # Sum 50 would end with number 379: window 93 of the clock, of numbers 372 to 377, is the last
    # before that.
    assert joined.found == {n: token for n, token in whole.found.items() if n <= 93}
    assert {n for n, reason in joined.recorders["join-"].places(Skip) if reason == "ended"} == set(
        range(94, 174)
    )
    assert joined.join.counts == {"early": 8, "ended": 80}


@pytest.mark.parametrize("blocks", [(1,), (64,), (10**9,)], ids=str)
def test_it_ends_with_the_clock_and_holds_nobody_up(blocks: tuple[int, ...]) -> None:
    joined = Joined(
        slow=Ends("slow", frame_size=4, hop_size=2, before=0),
        edges=(("slow", "join.clock"), ("fast", "join.slow"), ("numbers", "join.raw")),
        blocks=blocks,
        total=20_000,
    )
    run_live(joined.graph)
    assert max(joined.found) == 24, "two sums a window"
    assert len(joined.recorders["numbers-"].tokens) == 20_000, "what others read continues"
