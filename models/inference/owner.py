"""A thread that owns an accelerator's session of a model and runs the segments of all streams.

An accelerator takes as long for one segment as for many, and one thread keeps it busy. So segments
are gathered until a batch is full, or until one has waited as long as it may, and run in few shapes
that are known in advance: TensorRT compiles for minutes when it meets a new one. A batch that is
not full is padded with zeros to the next size.

Threads: streams call `Seat.ask` and `Seat.leave` on their own threads; the owner's thread runs the
batches, writes the answers and calls the streams' `arrived`. Queues and seats change under
`_changed`. `_warming` lets one caller at a time warm up shapes, on the caller's thread; `_running`
lets one thread at a time use the runner and the arrays of batches. `_warming` may be held when the
others are taken, never the other way round.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError, ProviderError, one_line
from auricle.models.patchout import Kept

log = logging.getLogger(__name__)

STEP: Final = 4
"""Factor from one size of batches to the next: padding costs less than more shapes would."""


def batch_sizes(most: int) -> tuple[int, ...]:
    """Sizes of batches, in segments: 1, 4, 16 and so on, and `most` at the end."""
    powers = (STEP**n for n in itertools.count())
    return (*itertools.takewhile(lambda size: size < most, powers), most)


class Runner(Protocol):
    """A model on an accelerator. One thread at a time calls these."""

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Prepare for batches of one shape. May take minutes, the first time.

        Args:
            size: Segments of the batch.
            kept: Columns and rows of patches to look at; None for a model without patches.
        """

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """Run a batch.

        Args:
            segments: Normalised frames, shape (batch, segment_size, bands), float32.
            kept: Columns and rows of patches to look at; None for a model without patches.

        Returns:
            Outputs of the model in the order requested, each of shape (batch, ...).
        """


@dataclass(eq=False, slots=True)
class PendingSegment:
    """A segment handed to the owner, and its answer.

    The stream's thread makes it; after that only the owner's thread writes to it. The stream reads
    the answer once `done` is set, which is written last.

    Attributes:
        seat: Seat of the stream that it is from.
        segment: Copy of its frames, shape (segment_size, bands).
        kept: Columns and rows of patches to look at; None for a model without patches.
        asked_ns: Monotonic time at which it was handed in.
        due_ns: Monotonic time until which it may wait for others.
        expires_ns: Monotonic time by which it has to be begun; None without a limit.
        done: Whether it has been answered.
        expired: Whether it was not begun, since its time had passed.
        results: Outputs, each with a batch axis of 1.
        error: Reason in one line why there are no results.
        began_ns: Monotonic time at which its batch was begun.
        cost_ns: Share of the time that its batch took, ns.
    """

    seat: Seat
    segment: NDArray[np.float32]
    kept: Kept | None
    asked_ns: int
    due_ns: int
    expires_ns: int | None
    done: bool = False
    expired: bool = False
    results: list[NDArray[np.float32]] | None = None
    error: str | None = None
    began_ns: int = 0
    cost_ns: int = 0


class Seat:
    """One stream's place with an owner. Nothing in it changes.

    Args:
        owner: Owner of the session.
        arrived: Function called, on the owner's thread, after every answer.
        places: Most segments that the stream should have pending at a time.

    Attributes:
        owner: Owner of the session.
        arrived: Function called, on the owner's thread, after every answer.
        places: Most segments that the stream should have pending at a time.
    """

    def __init__(self, owner: InferenceOwner, arrived: Callable[[], None], places: int = 1) -> None:
        self.owner = owner
        self.arrived = arrived
        self.places = places

    def ask(
        self, segment: NDArray[np.float32], kept: Kept | None, expires_ns: int | None = None
    ) -> PendingSegment:
        """Hand in a segment, without waiting. Answers come in order for segments of one `kept`.

        Args:
            segment: Normalised frames, shape (segment_size, bands), which are copied.
            kept: Columns and rows of patches to look at, whose shapes must have been warmed up.
            expires_ns: Monotonic time by which it has to be begun; None without a limit.

        Returns:
            The segment, with its answer once `done` is set.
        """
        now = time.monotonic_ns()
        wait_ns = self.owner.wait_ns
        if expires_ns is not None:
            # The other half of the time left is for the batches before it.
            wait_ns = min(wait_ns, (expires_ns - now) // 2)
        pending = PendingSegment(self, segment.copy(), kept, now, now + wait_ns, expires_ns)
        self.owner.add(pending)
        return pending

    def leave(self) -> None:
        """Give up the place; `arrived` is not called after that. May be called twice."""
        self.owner.remove(self)


class InferenceOwner:
    """Gathers segments, runs them together, and hands the results back.

    Its thread exists while there are seats. Any thread may call its methods.

    Args:
        runner: Model to run.
        shape: Frames and bands of a segment.
        sizes: Sizes of the batches in segments, in ascending order; no other size is run.
        wait_s: Longest time in seconds for which a segment waits for others; never more than half
            of the time left until it has to be begun.
        name: Name of the model, for messages.
        outputs: Names of the runner's outputs, for messages.

    Attributes:
        sizes: Sizes of the batches in segments, in ascending order.
        name: Name of the model.
        wait_ns: Longest time for which a segment waits for others, ns.
    """

    def __init__(
        self,
        runner: Runner,
        shape: tuple[int, int],
        sizes: tuple[int, ...],
        wait_s: float,
        name: str,
        outputs: Sequence[str],
    ) -> None:
        self.sizes = sizes
        self.name = name
        self._outputs = outputs
        self._runner = runner
        self.wait_ns = round(wait_s * 1e9)
        self._running = threading.Lock()
        self._batches = {size: np.zeros((size, *shape), np.float32) for size in sizes}  # under it
        # Under the lock of `_changed`, but for a look at `_seats` by the owner's thread, which may
        # call a seat that has just left.
        self._changed = threading.Condition()
        self._queues: dict[Kept | None, deque[PendingSegment]] = {}
        self._seats: set[Seat] = set()
        self._working = False  # whether there is a thread
        # Written under `_warming`, since many streams start together, with the same shapes. `_warm`
        # only grows, and is read by any thread.
        self._warming = threading.Lock()
        self._warm: set[Kept | None] = set()
        self._failed: dict[Kept | None, ProviderError] = {}
        # Written by the owner's thread, read by any.
        self._counts: Counter[int] = Counter()
        self._waited_ns = 0

    def warm(self, kept: Iterable[Kept | None]) -> None:
        """Run every size once with each of these, unless that has been done.

        New ones are refused while there are seats: runtimes may compile for minutes in their first
        run of a shape, and all streams would wait for it. One that has failed is not tried again.

        Args:
            kept: Columns and rows of patches to look at; None for a model without patches.

        Raises:
            ModelError: One is new, and there are seats.
            ProviderError: One cannot be run, or has an output without a batch axis.
        """
        with self._warming:
            new = [each for each in dict.fromkeys(kept) if each not in self._warm]
            for each in new:
                if each in self._failed:
                    raise self._failed[each]
            if new and self._seats:
                raise ModelError(
                    f"{self.name}: a patchout that was not warmed up would hold up the streams "
                    "that run; levels of the card are warm, and any other has to come before them"
                )
            for size, each in _extremes_first(itertools.product(self.sizes, new)):
                self._try_shape(size, each)
            self._warm.update(new)

    def _try_shape(self, size: int, kept: Kept | None) -> None:
        try:
            self._runner.prepare(size, kept)
            with self._running:  # a batch of a stream that has left may still be running
                self._batches[size][:] = 0
                self._check_results(self._runner.run(self._batches[size], kept), size)
        except Exception as error:  # the runtimes' own classes have no common base but this
            what = f"{self.name}: a batch of {size} cannot be run: {one_line(error)}"
            self._failed[kept] = ProviderError(what)
            raise self._failed[kept] from error

    def _check_results(self, results: list[NDArray[np.float32]], size: int) -> None:
        for name, each in zip(self._outputs, results, strict=True):
            if np.shape(each)[:1] != (size,):
                raise ModelError(
                    f"output {name!r} has shape {np.shape(each)}, and the first axis has to be the "
                    "batch"
                )

    def is_warm(self, kept: Kept | None) -> bool:
        """Whether segments with these patches may be handed in. Callable from any thread."""
        return kept in self._warm

    def join(self, arrived: Callable[[], None], places: int = 1) -> Seat:
        """Make a seat for another stream, after waiting until nothing is being warmed up.

        Args:
            arrived: Function called, on the owner's thread, after every answer.
            places: Most segments that the stream should have pending at a time.
        """
        seat = Seat(self, arrived, places)
        with self._warming, self._changed:
            self._seats.add(seat)
            self._ensure_thread()
        return seat

    def _ensure_thread(self) -> None:
        """Start the thread unless it is running. Called under `_changed`."""
        if not self._working:
            self._working = True
            threading.Thread(target=self._work, name=f"inference-{self.name}", daemon=True).start()

    def add(self, pending: PendingSegment) -> None:
        """Queue a segment. See `Seat.ask`."""
        assert pending.kept in self._warm, (
            "a shape that was not warmed up would hold up all streams"
        )
        with self._changed:
            self._queues.setdefault(pending.kept, deque()).append(pending)
            self._ensure_thread()
            self._changed.notify_all()

    def remove(self, seat: Seat) -> None:
        """Remove a seat, as `Seat.leave` does. The last to leave waits for the running batch."""
        with self._changed:
            self._seats.discard(seat)
            for kept, queue in list(self._queues.items()):
                self._queues[kept] = deque(each for each in queue if each.seat is not seat)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._seats or not self._working)

    def statistics(self) -> dict[str, Any]:
        """Batches so far by number of segments, and a segment's mean wait for others, in ms."""
        counts, waited_ns = dict(self._counts), self._waited_ns
        segments = sum(size * count for size, count in counts.items())
        return {
            "batches": {str(size): count for size, count in sorted(counts.items())},
            "wait_ms": waited_ns / 1e6 / max(1, segments),
        }

    def _work(self) -> None:
        """The owner's thread."""
        taken: list[PendingSegment] = []
        try:
            while (found := self._gather()) is not None:
                batch, late = found
                taken = batch + late
                for pending in late:
                    pending.expired = True
                    self._answer(pending)
                if batch:
                    self._run(batch)
        except BaseException as error:
            log.exception("%s: the thread that runs it ended", self.name)
            self._give_up(taken, f"{self.name}: inference failed: {one_line(error)}")

    def _give_up(self, taken: list[PendingSegment], why: str) -> None:
        """Answer all pending segments with an error; the next segment starts a new thread."""
        with self._changed:
            waiting = [*taken, *itertools.chain.from_iterable(self._queues.values())]
            self._queues.clear()
            self._working = False
            self._changed.notify_all()
        for pending in waiting:
            if not pending.done:
                pending.error = why
                self._answer(pending)

    def _gather(self) -> tuple[list[PendingSegment], list[PendingSegment]] | None:
        """Wait for a batch that is full or due; None when all seats are empty.

        Returns:
            The segments to run, and those that are too late.
        """
        with self._changed:
            while self._seats:
                now = time.monotonic_ns()
                waiting = [queue for queue in self._queues.values() if queue]
                ready = [queue for queue in waiting if self._is_ready(queue, now)]
                if ready:
                    return self._take(min(ready, key=_first_asked_ns), now)
                due_ns = min(map(_due_ns, waiting), default=None)
                self._changed.wait(None if due_ns is None else (due_ns - now) / 1e9)
            self._queues.clear()
            self._working = False
            self._changed.notify_all()
        return None

    def _is_ready(self, queue: deque[PendingSegment], now: int) -> bool:
        return len(queue) >= self.sizes[-1] or now >= _due_ns(queue)

    def _take(
        self, queue: deque[PendingSegment], now: int
    ) -> tuple[list[PendingSegment], list[PendingSegment]]:
        batch: list[PendingSegment] = []
        late: list[PendingSegment] = []
        while queue and len(batch) < self.sizes[-1]:
            pending = queue.popleft()
            in_time = pending.expires_ns is None or pending.expires_ns >= now
            (batch if in_time else late).append(pending)
        return batch, late

    def _run(self, batch: list[PendingSegment]) -> None:
        began_ns = time.monotonic_ns()
        try:
            parts = self._run_together(batch)
        except Exception as error:  # the runtimes' own classes have no common base but this
            self._run_one_by_one(batch, error)
            return
        cost_ns = (time.monotonic_ns() - began_ns) // len(batch)
        self._counts[len(batch)] += 1
        for pending, results in zip(batch, parts, strict=True):
            self._waited_ns += began_ns - pending.asked_ns
            pending.began_ns, pending.cost_ns = began_ns, cost_ns
            pending.results = results
            self._answer(pending)

    def _run_together(self, batch: list[PendingSegment]) -> list[list[NDArray[np.float32]]]:
        """The results of each segment of a batch."""
        size = next(size for size in self.sizes if size >= len(batch))
        with self._running:
            segments = self._batches[size]
            for row, pending in enumerate(batch):
                segments[row] = pending.segment
            segments[len(batch) :] = 0
            results = self._runner.run(segments, batch[0].kept)
        parts = []
        for row in range(len(batch)):
            # Copies: a view would keep the whole batch.
            parts.append([each[row : row + 1].copy() for each in results])
        return parts

    def _run_one_by_one(self, batch: list[PendingSegment], error: Exception) -> None:
        """Run the segments of a batch that failed alone, so that one does not fail the others."""
        if len(batch) > 1:
            for pending in batch:
                self._run([pending])
            return
        batch[0].error = f"{self.name}: inference failed: {one_line(error)}"
        self._answer(batch[0])

    def _answer(self, pending: PendingSegment) -> None:
        pending.done = True
        if pending.seat not in self._seats:
            return
        try:
            pending.seat.arrived()
        except Exception:  # a stream that fails on its answer must not stop the others
            log.exception("%s: a stream could not take its answer", self.name)


def _first_asked_ns(queue: deque[PendingSegment]) -> int:
    """Monotonic time at which the oldest segment was handed in."""
    return queue[0].asked_ns


def _due_ns(queue: deque[PendingSegment]) -> int:
    """Earliest monotonic time at which one of the segments may not wait any longer."""
    return min(pending.due_ns for pending in queue)


def _extremes_first(shapes: Iterable[tuple[int, Kept | None]]) -> list[tuple[int, Kept | None]]:
    """Shapes with the least work first, then the most, then the others from the most down.

    ONNX Runtime's TensorRT compiles for the range of shapes it has met.
    """
    rising = sorted(shapes, key=_work_of_shape)
    return [*rising[:1], *reversed(rising[1:])]


def _work_of_shape(shape: tuple[int, Kept | None]) -> int:
    """Amount of work of a shape, for comparison with others."""
    size, kept = shape
    return size if kept is None else size * len(kept[0]) * len(kept[1])
