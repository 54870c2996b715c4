"""Streams and readers: what is written is read, in order, once per reader, with its marks."""

import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.engine.clock import SourceClock
from auricle.engine.marks import Gap, Skip
from auricle.engine.reader import Reader
from auricle.engine.stream import Axis, Lineage, Stream, TokenType

AUDIO = TokenType(np.dtype(np.float32), (), Fraction(16000))
STARTS = [0, 2**31 - 5, 2**53]


def stream(
    capacity: int, start: int = 0, lineage: Lineage | None = None, rate: Fraction = Fraction(16000)
) -> Stream:
    token_type = TokenType(np.dtype(np.float32), (), rate)
    return Stream("node.port", token_type, capacity, SourceClock(16000), lineage, start)


@pytest.mark.parametrize(
    ("total", "frame", "hop", "before", "windows"),
    [
        (0, 4, 2, 0, 0),  # empty
        (1, 4, 2, 0, 0),  # one sample
        (4, 4, 2, 0, 1),  # exact fit
        (5, 4, 2, 0, 1),  # one over
        (6, 4, 2, 0, 2),
        (4, 4, 2, 2, 2),  # two zeros ahead: [0 0 1 2], [1 2 3 4]
        (9, 2, 4, 0, 2),  # hop longer than the frame: [1 2], [5 6], and 9 alone
        (10, 2, 4, 0, 3),
    ],
)
def test_number_of_windows(total: int, frame: int, hop: int, before: int, windows: int) -> None:
    s = stream(32)
    reader = Reader(s, frame, hop, before)
    s.write(np.arange(1, total + 1, dtype=np.float32))
    assert reader.windows() == windows


@pytest.mark.parametrize("start", STARTS)
def test_windows_worked_by_hand(start: int) -> None:
    s = stream(8, start)
    reader = Reader(s, frame_size=4, hop_size=3, before=2)
    got = []
    for value in range(1, 12):
        s.write(np.array([value], np.float32))
        while reader.windows():
            got.append(reader.view().tolist())
            reader.release()
    assert got == [[0, 0, 1, 2], [2, 3, 4, 5], [5, 6, 7, 8], [8, 9, 10, 11]]
    assert reader.rest().tolist() == [11]


@given(
    blocks=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    frame=st.integers(1, 12),
    hop=st.integers(1, 12),
    start=st.sampled_from(STARTS),
)
def test_full_stream_refuses_and_loses_nothing(
    blocks: list[int], frame: int, hop: int, start: int
) -> None:
    s = stream(frame + hop + 3, start)
    slow, quick = Reader(s, frame, hop), Reader(s)
    given_, heard, windows = 0, [], []
    for block in blocks:
        given_ += s.write(np.arange(given_, given_ + block, dtype=np.float32))
        assert s.room() >= 0
        heard += quick.view(quick.windows()).tolist()
        quick.release(quick.windows())
        if s.room() < block and slow.windows():
            windows.append(slow.view().tolist())
            slow.release()
    assert heard == list(range(given_))
    assert windows == [list(range(n * hop, n * hop + frame)) for n in range(len(windows))]


def test_threads_hammer_a_stream() -> None:
    """Writer and reader on two threads: every token once, in order, and marks before them."""
    s = stream(64, 2**31 - 5)
    reader = Reader(s)
    total, heard, marked = 20_000, [], set()

    def write() -> None:
        done, block = 0, 1
        while done < total:
            count = min(block, total - done, s.room())
            if count and done % 3 == 0:
                s.mark(Gap(s.written, s.written + 1, "xrun", (done, done + 1)))
            done += s.write(np.arange(done, done + count, dtype=np.float32))
            block = block % 60 + 1
        s.end()

    thread = threading.Thread(target=write)
    thread.start()
    while True:
        ended, count = s.ended, reader.windows()
        marked |= {mark.source[0] for mark in reader.new_marks()}
        if not count and ended:
            break
        new = reader.view(count).tolist()
        heard += new
        reader.release(count)
        assert all(gap.stop > reader.position for gap in reader.gaps), (
            "gaps that are passed are dropped"
        )
    thread.join()
    assert heard == list(range(total))
    assert marked, "no mark was made; the test shows nothing"
    assert s.marked - len(marked) == 0
    assert len(s._marks) <= 64, "marks that all have seen are not kept"


@pytest.mark.parametrize(
    ("frame", "hop", "before", "mark", "windows"),
    [
        (4, 2, 0, (5, 6), (1, 3)),  # [2..5], [4..7]
        (4, 2, 0, (4, 8), (1, 4)),
        (4, 2, 2, (0, 1), (0, 2)),  # [-2..1], [0..3]
        (1, 1, 0, (7, 9), (7, 9)),
        (2, 4, 0, (2, 4), (1, 1)),  # falls between two windows
    ],
)
@pytest.mark.parametrize("start", STARTS)
def test_windows_that_touch_a_mark(
    frame: int, hop: int, before: int, mark: tuple[int, int], windows: tuple[int, int], start: int
) -> None:
    reader = Reader(stream(16, start), frame, hop, before)
    assert reader.touching(Gap(start + mark[0], start + mark[1], "xrun", mark)) == windows


def test_stretches_stop_at_gaps_and_skips() -> None:
    s = stream(16)
    reader = Reader(s)
    s.mark(Gap(3, 4, "xrun", (3, 4)))
    s.mark(Skip(5, 7, "overload", (5, 7)))
    s.write(np.arange(9, dtype=np.float32))
    reader.new_marks()
    runs = []
    while ready := reader.windows():
        gap = reader.gap()
        count, skip = reader.stretch(ready)
        runs.append((reader.number, count, gap and gap.reason, skip and skip.reason))
        reader.release(count)
    assert runs == [
        (0, 3, None, None),
        (3, 2, "xrun", None),
        (5, 2, None, "overload"),
        (7, 2, None, None),
    ]


@pytest.mark.parametrize("start", STARTS)
def test_places_in_the_source(start: int) -> None:
    """Mel frames of 512 samples every 256, the first centred on sample 0; segments of 187 every 93.

    Segments count frames.
    """
    audio = stream(1024, start)
    mel = stream(400, start, Lineage(audio, 256, 512 - 256), Fraction(16000, 256))
    segments = stream(8, start, Lineage(mel, 93, 187), Fraction(16000, 256 * 93))
    assert segments.seconds(start) == (Fraction(0), Fraction(187 * 256, 16000))
    assert segments.span(start + 2) == (2 * 93 * 256, (2 * 93 + 187) * 256)
    chain = [(s, token - start) for s, token in segments.ancestry(start + 2)]
    # Frame k needs the samples up to 256 k + 255.
    assert chain == [(segments, 2), (mel, 2 * 93 + 186), (audio, (2 * 93 + 186) * 256 + 255)]


def test_places_follow_the_rate_of_the_source() -> None:
    audio = Stream("a.b", AUDIO, 64, SourceClock(44100, first_sample=10**12))
    assert audio.span(160) == (10**12 + 441, 10**12 + 444)


def test_times_of_commits() -> None:
    s = stream(1000)
    s.commit(10, began_ns=5)
    s.commit(10, began_ns=7)
    s.commit(10, began_ns=9)
    assert [s.committed(token)[0] for token in (0, 9, 10, 19, 20, 29)] == [5, 5, 7, 7, 9, 9]
    assert s.committed(0)[1] <= s.committed(29)[1]


def test_token_types_read_well() -> None:
    assert (
        str(TokenType(np.dtype(np.float32), (Axis("mel", 96),), Fraction(125, 2)))
        == "float32 96 mel at 62.5 Hz"
    )
    assert str(AUDIO) == "float32 at 16000 Hz"
