"""One thread that owns an accelerator's session of a model, and runs the segments of all streams
together.

An accelerator takes as long for one segment as for many, and one thread keeps it busy. So segments
are gathered until a batch is full, or until one has waited as long as it may, and run in few shapes
that are known beforehand: TensorRT compiles for minutes when it sees a new one. A batch that is not
full is filled up with zeros, to the next size.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError, ProviderError, one_line
from auricle.models.patchout import Kept

log = logging.getLogger(__name__)

STEP = 4
"""From one size of batches to the next: what is filled up with zeros costs less than more shapes
would.
"""


def batch_sizes(most: int) -> tuple[int, ...]:
    """1, 4, 16 and so on up to `most`, which is the last."""
    return (
        *itertools.takewhile(lambda size: size < most, (STEP**n for n in itertools.count())),
        most,
    )


class Runner(Protocol):
    """A model on an accelerator. One thread at a time calls these."""

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Make ready what batches of this shape need. May take minutes, the first time."""

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """Outputs of the model, in the order in which they were asked for.

        Args:
            segments: Frames, shape (batch, segment_size, bands).
            kept: Columns and rows of patches to look at; None for a model without patches.
        """


@dataclass(eq=False, slots=True)
class Request:
    """A segment on its way.

    Attributes:
        segment: Its frames, a copy.
        kept: Patches to look at.
        asked_ns: Monotonic time at which it was handed in.
        due_ns: Time at which it has waited for others as long as it may.
        expires_ns: Time at which it has to be begun; None without such a time.
        done: Whether it has been answered. Written last.
        expired: Whether it was not begun, since its time had passed.
        results: Outputs, each with a batch axis of one.
        error: Why there are none, in one line.
        began_ns: When its batch was begun.
        cost_ns: Its part of the time that its batch took.
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
    """One stream's place with an owner.

    Args:
        owner: Of the session.
        arrived: Called, on the owner's thread, after every answer.
    """

    def __init__(self, owner: InferenceOwner, arrived: Callable[[], None]) -> None:
        self.owner = owner
        self.arrived = arrived

    def ask(
        self, segment: NDArray[np.float32], kept: Kept | None, expires_ns: int | None = None
    ) -> Request:
        """Hand a segment in; returns at once. Answers come in order for segments of one `kept`.

        Args:
            segment: Frames, shape (segment_size, bands). Copied.
            kept: Patches to look at; its shapes must have been warmed up.
            expires_ns: Monotonic time until which it has to be begun.
        """
        now = time.monotonic_ns()
        wait_ns = self.owner.wait_ns
        if expires_ns is not None:
            # The other half of what is left is for the batches before it.
            wait_ns = min(wait_ns, (expires_ns - now) // 2)
        request = Request(self, segment.copy(), kept, now, now + wait_ns, expires_ns)
        self.owner.add(request)
        return request

    def leave(self) -> None:
        """Give the place up; what was asked is not answered any more. May be called twice."""
        self.owner.remove(self)


class InferenceOwner:
    """Gathers segments, runs them together, and hands the results back.

    The thread is there while anybody has a seat.

    Args:
        runner: The model.
        shape: Frames and bands of a segment.
        sizes: Of the batches, rising; nothing else is run.
        wait_s: Longest time for which a segment waits for others; never more than half of what is
            left until it has to be begun.
        name: Of the model, for messages.
        outputs: Names of what the runner gives, likewise.
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
        self._batches = {size: np.zeros((size, *shape), np.float32) for size in sizes}
        self._changed = threading.Condition()
        self._queues: dict[Kept | None, deque[Request]] = {}
        self._seats: set[Seat] = set()
        self._working = False
        self._warming = (
            threading.Lock()
        )  # one at a time: many streams start together, with the same shapes
        self._running = threading.Lock()
        self._warm: set[Kept | None] = set()
        self._failed: dict[Kept | None, ProviderError] = {}
        self._counts: Counter[int] = Counter()
        self._waited_ns = 0

    def warm(self, kept: Iterable[Kept | None]) -> None:
        """Run every size once with each of these, unless that has been done.

        What is new is refused while anybody has a seat: runtimes may compile for minutes in their
        first run of a shape, and all streams would wait for it. What could not be run once is not
        tried again.

        Raises:
            ModelError: One is new, and somebody has a seat.
            ProviderError: One cannot be run, or has an output that is not one of a batch.
        """
        with self._warming:
            new = [each for each in dict.fromkeys(kept) if each not in self._warm]
            for each in new:
                if each in self._failed:
                    raise self._failed[each]
            if new and self._seats:
                raise ModelError(
                    f"{self.name}: a patchout that was not warmed up would hold up the streams that run; "
                    "levels of the card are warm, and any other has to come before them"
                )
            shapes = sorted(itertools.product(self.sizes, new), key=_work)
            # The extremes first: ONNX Runtime's TensorRT compiles for the range of what it has
            # seen.
            for size, each in shapes[:1] + shapes[:0:-1]:
                try:
                    self._runner.prepare(size, each)
                    with self._running:  # who has left may still have a batch under way
                        self._batches[size][:] = 0
                        self._check(self._runner.run(self._batches[size], each), size)
                except Exception as error:  # the runtimes' own classes have no common base but this
                    what = f"{self.name}: a batch of {size} cannot be run: {one_line(error)}"
                    self._failed[each] = ProviderError(what)
                    raise self._failed[each] from error
            self._warm.update(new)

    def _check(self, results: list[NDArray[np.float32]], size: int) -> None:
        for name, each in zip(self._outputs, results, strict=True):
            if np.shape(each)[:1] != (size,):
                raise ModelError(
                    f"output {name!r} has shape {np.shape(each)}, and the first axis has to be the batch"
                )

    def is_warm(self, kept: Kept | None) -> bool:
        """Whether segments may be handed in with this."""
        return kept in self._warm

    def join(self, arrived: Callable[[], None]) -> Seat:
        """A seat for another stream, when nobody warms anything up any more."""
        seat = Seat(self, arrived)
        with self._warming, self._changed:
            self._seats.add(seat)
            self._start()
        return seat

    def _start(self) -> None:
        """Have the thread, if it is not there."""
        if not self._working:
            self._working = True
            threading.Thread(target=self._work, name=f"inference-{self.name}", daemon=True).start()

    def add(self, request: Request) -> None:
        """See `Seat.ask`."""
        assert request.kept in self._warm, (
            "a shape that was not warmed up would hold up all streams"
        )
        with self._changed:
            self._queues.setdefault(request.kept, deque()).append(request)
            self._start()
            self._changed.notify_all()

    def remove(self, seat: Seat) -> None:
        """See `Seat.leave`. The last one to leave waits for the batch that is being run."""
        with self._changed:
            self._seats.discard(seat)
            for kept, queue in list(self._queues.items()):
                self._queues[kept] = deque(each for each in queue if each.seat is not seat)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._seats or not self._working)

    def statistics(self) -> dict[str, Any]:
        """Batches so far by how many segments they had, and how long a segment waited for the
        others.
        """
        counts, waited_ns = dict(self._counts), self._waited_ns
        segments = sum(size * count for size, count in counts.items())
        return {
            "batches": {str(size): count for size, count in sorted(counts.items())},
            "wait_ms": waited_ns / 1e6 / max(1, segments),
        }

    def _work(self) -> None:
        taken: list[Request] = []
        try:
            while (found := self._gather()) is not None:
                batch, late = found
                taken = batch + late
                for request in late:
                    request.expired = True
                    self._answer(request)
                if batch:
                    self._run(batch)
        except BaseException as error:
            log.exception("%s: the thread that runs it ended", self.name)
            self._give_up(taken, f"{self.name}: inference failed: {one_line(error)}")

    def _give_up(self, taken: list[Request], why: str) -> None:
        """Answer all who wait; the next one to ask gets a new thread."""
        with self._changed:
            waiting = [*taken, *itertools.chain.from_iterable(self._queues.values())]
            self._queues.clear()
            self._working = False
            self._changed.notify_all()
        for request in waiting:
            if not request.done:
                request.error = why
                self._answer(request)

    def _gather(self) -> tuple[list[Request], list[Request]] | None:
        """The next batch, when it is full or its time has come, and what is too late; None when all
        left.
        """
        with self._changed:
            while self._seats:
                now = time.monotonic_ns()
                waiting = [queue for queue in self._queues.values() if queue]
                ready = [queue for queue in waiting if self._is_ready(queue, now)]
                if ready:
                    return self._take(min(ready, key=_asked_ns), now)
                due_ns = min(map(_due_ns, waiting), default=None)
                self._changed.wait(None if due_ns is None else (due_ns - now) / 1e9)
            self._queues.clear()
            self._working = False
            self._changed.notify_all()
        return None

    def _is_ready(self, queue: deque[Request], now: int) -> bool:
        return len(queue) >= self.sizes[-1] or now >= _due_ns(queue)

    def _take(self, queue: deque[Request], now: int) -> tuple[list[Request], list[Request]]:
        batch: list[Request] = []
        late: list[Request] = []
        while queue and len(batch) < self.sizes[-1]:
            request = queue.popleft()
            in_time = request.expires_ns is None or request.expires_ns >= now
            (batch if in_time else late).append(request)
        return batch, late

    def _run(self, batch: list[Request]) -> None:
        size = next(size for size in self.sizes if size >= len(batch))
        began_ns = time.monotonic_ns()
        try:
            with self._running:
                segments = self._batches[size]
                for row, request in enumerate(batch):
                    segments[row] = request.segment
                segments[len(batch) :] = 0
                results = self._runner.run(segments, batch[0].kept)
            # Copies: a view would keep the whole batch.
            parts = [[each[row : row + 1].copy() for each in results] for row in range(len(batch))]
        except Exception as error:  # the runtimes' own classes have no common base but this
            if len(batch) > 1:
                # One stream's segment must not cost the others theirs.
                for request in batch:
                    self._run([request])
                return
            batch[0].error = f"{self.name}: inference failed: {one_line(error)}"
            self._answer(batch[0])
            return
        cost_ns = (time.monotonic_ns() - began_ns) // len(batch)
        self._counts[len(batch)] += 1
        for request, results in zip(batch, parts, strict=True):
            self._waited_ns += began_ns - request.asked_ns
            request.began_ns, request.cost_ns = began_ns, cost_ns
            request.results = results
            self._answer(request)

    def _answer(self, request: Request) -> None:
        request.done = True
        if request.seat not in self._seats:
            return
        try:
            request.seat.arrived()
        except (
            Exception
        ):  # a stream that cannot hear of it must not keep the others from being served
            log.exception("%s: a stream could not be told of its result", self.name)


def _asked_ns(queue: deque[Request]) -> int:
    """When the oldest was handed in."""
    return queue[0].asked_ns


def _due_ns(queue: deque[Request]) -> int:
    """When the first of them may not wait any longer."""
    return min(request.due_ns for request in queue)


def _work(shape: tuple[int, Kept | None]) -> int:
    """How much a shape is to compute, for comparison with others."""
    size, kept = shape
    return size if kept is None else size * len(kept[0]) * len(kept[1])
