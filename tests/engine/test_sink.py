"""The loop of nodes that only read."""

from typing import Any

import pytest

from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Mark, Skip
from auricle.engine.port import InputPort
from auricle.engine.provenance import Provenance
from auricle.engine.reader import Reader
from auricle.engine.scheduler import run_offline
from auricle.engine.sink import Sink
from tests.toys import Counter, Sums

STARTS = [0, 2**31 - 5, 2**53]
BLOCKS = [(1,), (7,), (64,), (1000,), (3, 1, 40, 2)]


class Notes(Sink):
    """Notes what it is given, with where each sum comes from."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.add_input(InputPort("sums", "Sums.", None, axes=None, many=True))
        self.add_input(InputPort("numbers", "Numbers.", None, axes=(), optional=True))
        self.values: dict[str, dict[int, float]] = {}
        self.marks: list[tuple[str, str, Mark]] = []
        self.provenances: list[Provenance] = []
        self.ends = 0

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        values = self.values.setdefault(reader.stream.name, {})
        for row, value in enumerate(reader.view(count).ravel().tolist()):
            values[reader.number + row] = value
            if reader.stream.name == "second.sums":
                self.provenances.append(Provenance.of(reader, reader.position + row))

    def marked(self, port: InputPort, reader: Reader, mark: Mark) -> None:
        self.marks.append((port.name, reader.stream.name, mark))

    def ended(self) -> None:
        self.ends += 1


def play(start: int, blocks: tuple[int, ...], skipping: dict[int, str]) -> Notes:
    """Two streams of sums, the second of sums of sums, and the numbers themselves."""
    first, notes = Sums("first", frame_size=4, hop_size=2, before=0), Notes("notes")
    first.skipping = skipping
    nodes = [
        Counter("numbers", total=40, blocks=blocks, gaps=[(20, 3, "xrun")]),
        first,
        Sums("second", frame_size=3, hop_size=3, before=0),
        notes,
    ]
    edges = [("numbers", "first"), ("first", "second"), ("numbers", "notes.numbers")]
    edges += [("first", "notes.sums"), ("second", "notes.sums")]
    run_offline(Graph("g", nodes, edges, start))
    return notes


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_each_stream_is_taken_whole_but_for_what_was_skipped(
    start: int, blocks: tuple[int, ...]
) -> None:
    notes = play(start, blocks, {5: "overload"})
    numbers = [0 if 20 <= n < 23 else n + 1 for n in range(40)]
    assert notes.values["numbers.tokens"] == dict(enumerate(numbers))
    sums = {n: sum(numbers[2 * n : 2 * n + 4]) for n in range(19)}
    del sums[5]
    assert notes.values["first.sums"] == sums
    assert list(notes.values["second.sums"]) == [0, 2, 3, 4, 5]
    found = {
        (port, stream, mark.start - start, mark.stop - start, mark.reason)
        for port, stream, mark in notes.marks
        if isinstance(mark, Gap)
    }
    assert found == {
        ("numbers", "numbers.tokens", 20, 23, "xrun"),
        ("sums", "first.sums", 9, 12, "xrun"),
        ("sums", "second.sums", 3, 4, "xrun"),
    }
    skips = [
        (stream, mark.start - start) for _, stream, mark in notes.marks if isinstance(mark, Skip)
    ]
    assert sorted(skips) == [("first.sums", 5), ("second.sums", 1)]
    assert notes.ends == 1


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_provenance_says_which_audio_and_how(start: int, blocks: tuple[int, ...]) -> None:
    notes = play(start, blocks, {})
    # A token of the second stream covers 3 sums of 4 numbers, 2 apart: 8 numbers, every 6.
    for number, found in enumerate(notes.provenances):
        assert (found.index, found.span) == (number, (6 * number, 6 * number + 8))
        assert (found.sample_rate, found.start, found.end) == (
            100,
            6 * number / 100,
            (6 * number + 8) / 100,
        )
        assert found.flags == (("gap:xrun",) if 6 * number < 23 and 6 * number + 8 > 20 else ())
        assert list(found.latency) == ["capture", "queue", "first", "second"]
        assert all(seconds >= 0 for seconds in found.latency.values())
        assert (found.rung, found.level) == (0, None)
    assert len(notes.provenances) == 6
