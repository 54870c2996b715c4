"""The owner of a session: what it batches, when, in which shapes, and whom a failure concerns."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.errors import ModelError, ProviderError
from auricle.models.inference.owner import InferenceOwner, PendingSegment, Seat, batch_sizes
from auricle.models.patchout import Kept

SHAPE = (3, 2)
OUTPUTS = ("sums", "negative")
LONG_S = 60.0
"""Longer than any test may take: what comes before has not waited for it."""

A: Kept = ((0, 1), (0,))
B: Kept = ((0, 2), (0, 1))


class Summing:
    """Sums and negative sums of segments, times the number of kept columns; fails on NaN.

    Attributes:
        ran: Copies of every batch, with what was kept.
        gate: Event that, while cleared, holds up whichever thread runs.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[NDArray[np.float32], Kept | None]] = []
        self.prepared: list[tuple[int, Kept | None]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def prepare(self, size: int, kept: Kept | None) -> None:
        self.prepared.append((size, kept))

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        self.entered.set()
        assert self.gate.wait(30)
        self.ran.append((segments.copy(), kept))
        if np.isnan(segments).any():
            raise RuntimeError("no number\nat all")
        sums = segments.sum(axis=(1, 2))[:, None] * (len(kept[0]) if kept else 1)
        return [sums, -sums]

    @property
    def shapes(self) -> list[tuple[int, Kept | None]]:
        return [(len(segments), kept) for segments, kept in self.ran]


class Stream:
    """A seat, and what has been answered."""

    def __init__(self, owner: InferenceOwner) -> None:
        self.answers = threading.Semaphore(0)
        self.calls = 0
        self.seat: Seat = owner.join(self._arrived)

    def _arrived(self) -> None:
        self.calls += 1
        self.answers.release()

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.answers.acquire(timeout=500)


def owned(
    wait_s: float, sizes: tuple[int, ...] = (1, 4), kept: tuple[Kept | None, ...] = (None,)
) -> tuple[InferenceOwner, Summing]:
    runner = Summing()
    owner = InferenceOwner(runner, SHAPE, sizes, wait_s, "toy", OUTPUTS)
    owner.warm(kept)
    runner.ran.clear()
    return owner, runner


def segment(value: float) -> NDArray[np.float32]:
    return np.full(SHAPE, value, np.float32)


def sums(request: PendingSegment) -> list[float]:
    assert request.results is not None, request.error
    assert [each.shape for each in request.results] == [(1, 1), (1, 1)]
    return [float(each[0, 0]) for each in request.results]


def held_up(runner: Summing, stream: Stream) -> PendingSegment:
    """The owner is at a first segment and does not get on, until the gate opens."""
    runner.gate.clear()
    runner.entered.clear()
    request = stream.seat.ask(segment(0), None)
    assert runner.entered.wait(30)
    return request


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, (1,)), (2, (1, 2)), (4, (1, 4)), (16, (1, 4, 16)), (20, (1, 4, 16, 20))]
)
def test_sizes(most: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(most) == sizes


def test_a_segment_that_has_to_be_begun_does_not_wait_until_it_is_too_late() -> None:
    owner, runner = owned(LONG_S)
    file, live = Stream(owner), Stream(owner)
    requests = [file.seat.ask(segment(1), None)]
    # Half of it is left when the batch begins: a machine that stands still for that long fails
    # this.
    requests.append(live.seat.ask(segment(2), None, time.monotonic_ns() + 4 * 10**9))
    file.wait()
    live.wait()
    assert [request.expired for request in requests] == [False, False]
    assert [sums(request)[0] for request in requests] == [6.0, 12.0]
    assert runner.shapes == [(4, None)]


def test_a_full_batch_waits_for_nobody() -> None:
    owner, runner = owned(LONG_S)
    streams = [Stream(owner) for _ in range(4)]
    requests = [stream.seat.ask(segment(n), None) for n, stream in enumerate(streams)]
    for stream in streams:
        stream.wait()
    assert [sums(request) for request in requests] == [[6.0 * n, -6.0 * n] for n in range(4)]
    assert runner.shapes == [(4, None)]
    assert owner.statistics()["batches"] == {"4": 1}


def test_a_lone_segment_goes_when_its_time_has_come() -> None:
    owner, runner = owned(0.01)
    stream = Stream(owner)
    request = stream.seat.ask(segment(2), None)
    stream.wait()
    assert sums(request) == [12.0, -12.0]
    assert runner.shapes == [(1, None)]
    assert request.began_ns - request.asked_ns >= 10_000_000, "it waited for others first"


def test_what_is_not_full_is_filled_up_with_zeros_to_the_next_size() -> None:
    owner, runner = owned(0.0, sizes=(1, 4, 16))
    stream = Stream(owner)
    held_up(runner, stream)
    requests = [stream.seat.ask(segment(n + 1), None) for n in range(6)]
    runner.gate.set()
    stream.wait(7)
    (first, _), (batch, _) = runner.ran
    assert len(first) == 1
    assert batch[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6] + [0] * 10
    assert [sums(request)[0] for request in requests] == [6.0 * (n + 1) for n in range(6)]
    # Before zeros there was another batch in the same place.
    requests = [stream.seat.ask(segment(9), None) for _ in range(16)]
    stream.wait(16)
    assert owner.statistics()["batches"].keys() <= {str(n) for n in range(1, 17)}


def test_more_than_a_batch_goes_in_batches_in_order() -> None:
    owner, runner = owned(0.0)
    stream = Stream(owner)
    held_up(runner, stream)
    for n in range(10):
        stream.seat.ask(segment(n), None)
    runner.gate.set()
    stream.wait(11)
    assert [batch[:, 0, 0].tolist() for batch, _ in runner.ran[1:]] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 0, 0],
    ]


def test_segments_with_other_patches_are_not_run_together_and_nobody_is_left_behind() -> None:
    owner, runner = owned(0.0, kept=(None, A, B))
    stream = Stream(owner)
    held_up(runner, stream)
    one = stream.seat.ask(segment(1), A)
    many = [stream.seat.ask(segment(n), B) for n in range(8)]
    other = stream.seat.ask(segment(2), A)
    runner.gate.set()
    stream.wait(11)
    assert runner.shapes[1:] == [(4, A), (4, B), (4, B)], (
        "the oldest first, though others have a full batch"
    )
    assert [sums(request)[0] for request in (one, other)] == [12.0, 24.0]
    assert [sums(request)[0] for request in many] == [12.0 * n for n in range(8)]


def test_only_shapes_that_were_warmed_up_are_run() -> None:
    owner, runner = owned(0.001, sizes=(1, 4, 16), kept=(A, B))
    warmed = set(itertools.product((1, 4, 16), (A, B)))
    assert set(runner.prepared) == warmed
    rng = np.random.default_rng(0)
    streams = [Stream(owner) for _ in range(5)]
    asked = [(streams[rng.integers(5)], float(n), (A, B)[rng.integers(2)]) for n in range(300)]
    requests = [(s.seat.ask(segment(value), kept), value, kept) for s, value, kept in asked]
    for stream in streams:
        stream.wait(sum(each is stream for each, _, _ in asked))
    for request, value, kept in requests:
        assert sums(request)[0] == 6 * value * len(kept[0])
    assert set(runner.shapes) <= warmed
    with pytest.raises(AssertionError, match="not warmed up"):
        streams[0].seat.ask(segment(0), ((0,), (0,)))


def test_warming_up_is_done_once_the_extremes_first() -> None:
    runner = Summing()
    owner = InferenceOwner(runner, SHAPE, (1, 4, 16), 0.0, "toy", OUTPUTS)
    owner.warm([B, A, B])
    work = [size * len(kept[0]) * len(kept[1]) for size, kept in runner.prepared if kept]
    assert work[0] == min(work)
    assert work[1] == max(work)
    assert sorted(runner.shapes) == sorted(itertools.product((1, 4, 16), (A, B)))
    owner.warm([A, B])
    assert len(runner.ran) == 6
    assert owner.is_warm(A)
    assert not owner.is_warm(None)


def test_a_shape_that_cannot_be_warmed_up_is_an_error_in_one_line() -> None:
    class Broken(Summing):
        def prepare(self, size: int, kept: Kept | None) -> None:
            if size == 4:
                raise RuntimeError("out of\nmemory")

    owner = InferenceOwner(Broken(), SHAPE, (1, 4), 0.0, "toy", OUTPUTS)
    with pytest.raises(ProviderError, match=r"^toy: a batch of 4 cannot be run: out of memory$"):
        owner.warm([None])
    assert not owner.is_warm(None)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((), r"\(\)"), ((1, 2), r"\(1, 2\)"), ((5,), r"\(5,\)")],
    ids=["number", "one", "other"],
)
def test_an_output_that_is_not_one_of_a_batch_is_refused(shape: tuple[int, ...], said: str) -> None:
    class Whole(Summing):
        def run(
            self, segments: NDArray[np.float32], kept: Kept | None
        ) -> list[NDArray[np.float32]]:
            return [np.zeros((len(segments), 1), np.float32), np.zeros(shape, np.float32)]

    owner = InferenceOwner(Whole(), SHAPE, (4,), 0.0, "toy", OUTPUTS)
    with pytest.raises(
        ProviderError, match=rf"^toy: a batch of 4 .*: output 'negative' has shape {said}, and"
    ):
        owner.warm([None])
    assert not owner.is_warm(None)


def test_what_could_not_be_warmed_up_is_not_tried_again() -> None:
    class Broken(Summing):
        def prepare(self, size: int, kept: Kept | None) -> None:
            super().prepare(size, kept)
            if kept == B:
                raise RuntimeError("no such operator")  # after minutes

    owner = InferenceOwner(runner := Broken(), SHAPE, (1, 4), 0.0, "toy", OUTPUTS)
    for _ in range(2):
        with pytest.raises(ProviderError, match="no such operator"):
            owner.warm([B])
    assert runner.prepared == [(1, B)]
    owner.warm([A])
    assert owner.is_warm(A)


def test_who_comes_later_holds_up_nobody() -> None:
    owner, runner = owned(0.0, kept=(A,))
    stream = Stream(owner)
    runner.prepared.clear()
    with pytest.raises(
        ModelError, match=r"^toy: a patchout that was not warmed up would hold up the streams"
    ):
        owner.warm([A, B])
    assert (runner.prepared, runner.ran) == ([], [])
    owner.warm([A])
    stream.seat.leave()
    owner.warm([B])
    assert owner.is_warm(B)


def test_a_seat_is_given_when_nothing_is_warmed_up_any_more() -> None:
    owner, runner = owned(0.0, kept=(A,))
    runner.gate.clear()
    runner.entered.clear()
    warming = threading.Thread(target=owner.warm, args=([B],))
    warming.start()
    assert runner.entered.wait(30)
    streams: list[Stream] = []
    joining = threading.Thread(target=lambda: streams.append(Stream(owner)))
    joining.start()
    joining.join(0.1)
    assert not streams, "it would wait for the warming up with segments under way"
    runner.gate.set()
    joining.join(30)
    assert streams
    assert owner.is_warm(B)


def test_an_output_that_loses_its_batch_is_an_error_of_who_asked() -> None:
    class Losing(Summing):
        def run(
            self, segments: NDArray[np.float32], kept: Kept | None
        ) -> list[NDArray[np.float32]]:
            results = super().run(segments, kept)
            return results if len(self.ran) == 1 else [np.float32(1), *results[1:]]  # type: ignore[list-item]

    owner = InferenceOwner(Losing(), SHAPE, (1,), 0.0, "toy", OUTPUTS)
    owner.warm([None])
    stream = Stream(owner)
    for _ in range(2):
        request = stream.seat.ask(segment(1), None)
        stream.wait()
        assert request.error is not None
        assert request.error.startswith("toy: inference failed: ")
    stream.seat.leave()


def test_whatever_ends_the_thread_is_reported_to_all_and_the_next_one_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Exiting(Summing):
        def run(
            self, segments: NDArray[np.float32], kept: Kept | None
        ) -> list[NDArray[np.float32]]:
            results = super().run(segments, kept)
            if segments[0, 0, 0] == 7:
                raise SystemExit("no more")
            return results

    owner = InferenceOwner(runner := Exiting(), SHAPE, (1,), 0.0, "toy", OUTPUTS)
    owner.warm([None, A])
    streams = [Stream(owner), Stream(owner)]
    held_up(runner, streams[0])
    requests = [
        streams[0].seat.ask(segment(7), None),
        streams[0].seat.ask(segment(1), None),
        streams[1].seat.ask(segment(1), A),
    ]
    runner.gate.set()
    streams[0].wait(3)
    streams[1].wait()
    assert [request.error for request in requests] == ["toy: inference failed: no more"] * 3
    assert caplog.messages == ["toy: the thread that runs it ended"]
    again = streams[1].seat.ask(segment(2), None)
    streams[1].wait()
    assert sums(again) == [12.0, -12.0]
    for stream in streams:
        stream.seat.leave()


def test_a_segment_that_fails_costs_the_others_of_its_batch_nothing() -> None:
    owner, runner = owned(LONG_S)
    streams = [Stream(owner) for _ in range(4)]
    values = [1.0, np.nan, 3.0, 4.0]
    requests = [
        stream.seat.ask(segment(value), None) for stream, value in zip(streams, values, strict=True)
    ]
    for stream in streams:
        stream.wait()
    assert [request.error for request in requests] == [
        None,
        "toy: inference failed: no number at all",
        None,
        None,
    ]
    assert [sums(requests[n])[0] for n in (0, 2, 3)] == [6.0, 18.0, 24.0]
    assert [stream.calls for stream in streams] == [1] * 4, "each is called once"
    assert set(runner.shapes) <= {(4, None), (1, None)}
    again = [stream.seat.ask(segment(1), None) for stream in streams]
    for stream in streams:
        stream.wait()
    assert [sums(request)[0] for request in again] == [6.0] * 4


def test_an_accelerator_that_fails_is_reported_to_all_once() -> None:
    class Dead(Summing):
        def run(
            self, segments: NDArray[np.float32], kept: Kept | None
        ) -> list[NDArray[np.float32]]:
            if self.ran:
                raise RuntimeError("device lost")
            return super().run(segments, kept)

    owner = InferenceOwner(runner := Dead(), SHAPE, (4,), LONG_S, "toy", OUTPUTS)
    owner.warm([None])
    assert runner.ran
    streams = [Stream(owner) for _ in range(4)]
    requests = [stream.seat.ask(segment(1), None) for stream in streams]
    for stream in streams:
        stream.wait()
    assert [request.error for request in requests] == ["toy: inference failed: device lost"] * 4
    assert [stream.calls for stream in streams] == [1] * 4


def test_what_is_too_late_is_not_run() -> None:
    owner, runner = owned(0.0)
    stream = Stream(owner)
    first = held_up(runner, stream)
    late = [stream.seat.ask(segment(7), None, expires_ns=first.asked_ns) for _ in range(5)]
    last = stream.seat.ask(segment(8), None, expires_ns=first.asked_ns + 10**12)
    runner.gate.set()
    stream.wait(7)
    assert [request.expired for request in late] == [True] * 5
    assert [request.results for request in late] == [None] * 5
    assert sums(last)[0] == 48.0
    assert [batch[:, 0, 0].tolist() for batch, _ in runner.ran] == [[0], [8]]


def test_who_leaves_with_segments_under_way_hurts_nobody() -> None:
    owner, runner = owned(0.0)
    leaving, staying = Stream(owner), Stream(owner)
    mine = held_up(runner, leaving)
    dropped = leaving.seat.ask(segment(5), None)
    kept = staying.seat.ask(segment(6), None)
    leaving.seat.leave()
    leaving.seat.leave()
    runner.gate.set()
    staying.wait()
    assert sums(kept)[0] == 36.0
    assert leaving.calls == 0, "a stream that has left is not called"
    assert mine.done
    assert not dropped.done
    assert [batch[:, 0, 0].tolist() for batch, _ in runner.ran] == [[0], [6]]


def left_alone(stream: Stream) -> threading.Thread:
    """Leaves, in a separate thread, and has given its place up."""
    leaving = threading.Thread(target=stream.seat.leave)
    leaving.start()
    while stream.seat in stream.seat.owner._seats:
        leaving.join(0.001)
    return leaving


def test_the_last_to_leave_waits_for_the_batch_under_way() -> None:
    owner, runner = owned(0.0)
    first, last = Stream(owner), Stream(owner)
    mine = held_up(runner, last)
    first.seat.leave()
    leaving = left_alone(last)
    leaving.join(0.1)
    assert leaving.is_alive(), "ending it now would take it from under the batch"
    runner.gate.set()
    leaving.join(30)
    assert not leaving.is_alive()
    assert mine.done


def test_warming_up_waits_for_the_batch_of_who_has_left() -> None:
    owner, runner = owned(0.0, sizes=(1,))
    stream = Stream(owner)
    runner.gate.clear()
    runner.entered.clear()
    stream.seat.ask(segment(5), None)
    assert runner.entered.wait(30)
    leaving = left_alone(stream)
    runner.entered.clear()
    warming = threading.Thread(target=owner.warm, args=([A],))
    warming.start()
    together = runner.entered.wait(0.1)
    runner.gate.set()
    for thread in (warming, leaving):
        thread.join(30)
    assert not together, "one thread at a time runs the model"
    assert owner.is_warm(A)
    assert [(batch[:, 0, 0].tolist(), kept) for batch, kept in runner.ran] == [
        ([5], None),
        ([0], A),
    ]


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "inference-last"]


def test_the_thread_is_there_while_anybody_is() -> None:
    owner = InferenceOwner(Summing(), SHAPE, (1,), 0.0, "last", OUTPUTS)
    owner.warm([None])
    for _ in range(2):
        streams = [Stream(owner), Stream(owner)]
        for stream in streams:
            stream.seat.ask(segment(1), None)
            stream.wait()
        streams[0].seat.leave()
        assert len(workers()) == 1
        streams[1].seat.leave()
        for thread in threading.enumerate():
            if thread.name == "inference-last":
                thread.join(30)
        assert not workers()


def test_segments_are_copied_and_results_are_no_views_of_the_batch() -> None:
    owner, runner = owned(0.0)
    stream = Stream(owner)
    held_up(runner, stream)
    mine = segment(1)
    request = stream.seat.ask(mine, None)
    mine[:] = 100  # as a ring does
    runner.gate.set()
    stream.wait(2)
    assert sums(request)[0] == 6.0
    assert request.results is not None
    assert [each.base for each in request.results] == [None, None]


def test_many_threads_ask_at_once() -> None:
    """Each stream gets its own results, in its own order."""
    owner, runner = owned(0.001, sizes=(1, 4, 16))
    found: dict[int, list[float]] = {}

    def listen(number: int) -> None:
        stream = Stream(owner)
        requests: list[PendingSegment] = []
        rng = np.random.default_rng(number)
        for n in range(100):
            requests.append(stream.seat.ask(segment(1000 * number + n), None))
            if rng.random() < 0.3:
                stream.wait()
                stream.answers.release()  # it is counted below
        stream.wait(100)
        found[number] = [sums(request)[0] / 6 for request in requests]
        stream.seat.leave()

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: [1000.0 * number + n for n in range(100)] for number in range(8)}
    assert {size for size, _ in runner.shapes} <= {1, 4, 16}
