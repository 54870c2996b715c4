"""Base of all inputs: they convert any audio to mono float32 at one rate, and mark losses.

Reasons of gaps: `xrun` (the device overran), `dropped` (our ring was full), `reconnect` (a
connection or a device was lost), `hole` (the sender's numbering jumps), `damaged` (could not be
decoded), `nan` (samples that are NaN or infinite), `cancelled` (channels cancelled each other in
the mix).
"""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypeVar

from auricle.engine.marks import Gap
from auricle.engine.node import NodeParams, Source, Status
from auricle.engine.port import OutputPort
from auricle.nodes.predictions import FLOAT32
from auricle.nodes.signal.conditioner import (
    Resampler,
    Samples,
    silence_the_unreal,
    to_float,
)
from auricle.nodes.signal.mixing import Cancellation, Mix, mix_down

LEAST_GAP = 512
"""Samples of silence for a gap of unknown length, so that no frame hears both sides of it."""

RESAMPLER_DELAY_S = Fraction(12, 100)
"""Most seconds that soxr holds back: 116 ms from 8 kHz, 41 ms from 44.1 or 48 kHz, 79 ms from
192 kHz, and 0 without resampling (measured; soxr works in its own blocks)."""

ROOM_POLL_S = 0.005
"""Seconds after which a capture thread looks again whether a full ring has room."""


class InputParams(NodeParams):
    """Parameters of every input."""

    sample_rate: int = Field(
        16000, gt=0, le=1_000_000, description="Rate that audio is resampled to, Hz."
    )
    mix: Mix = Field(
        "mean",
        description="How channels become one: their mean; left or right alone; itu, the weights of "
        "ITU-R BS.775, without the LFE; or the number of a channel, from 1.",
    )


InputP = TypeVar("InputP", bound=InputParams, covariant=True, default=InputParams)


class Input(Source[InputP]):
    """A source of mono audio.

    A subclass calls `_open` once it knows the format, then `_hear` and `_lose`, and `_write` until
    nothing is pending. The place of a sample in the source follows from its index in the output
    alone: lost samples are replaced by silence of the same length, through the same resampler.

    One thread, the one that writes the stream, calls these methods and touches what they keep: the
    capture thread of a `ThreadedInput`, the thread that runs the graph for any other input. The
    control thread reads `lost`, `warnings` and the clock for `statistics`, which are only figures.
    """

    stage = "capture"

    carried_over = frozenset({"sample_rate", "mix"})

    burst_s: ClassVar[float] = 1.0
    """Seconds of audio that can wait in the ring."""

    longest_silence_s: ClassVar[int] = 60
    """Most seconds of silence that are played for a gap. The rest is left out by the clock: while
    it is analysed, what comes after it would be lost too."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        rate = Fraction(self.params.sample_rate)
        self.audio = self.add_output(
            OutputPort("audio", "Mono.", FLOAT32, rate=rate, burst_s=self.burst_s)
        )
        self._resampler: Resampler | None = None
        self._cancellation = Cancellation(1)
        # Samples of the source since its first, in units of its first rate.
        self._heard = Fraction(0)
        self._left_out = Fraction(0)  # of these, those for which nothing is written
        self._silence_left = 0
        self._pending: Samples = np.zeros(0, np.float32)
        self.lost = 0
        """Number of samples of the source that were never heard."""

    @property
    def delay_s(self) -> Fraction:
        return RESAMPLER_DELAY_S

    def _open(self, sample_rate: int, first_sample: int = 0) -> None:
        """Set the source's rate, in Hz, and first sample; a second call changes the rate only."""
        if self._resampler is None:
            self.clock.sample_rate, self.clock.first_sample = sample_rate, first_sample
        elif self._resampler.from_rate == sample_rate:
            return
        else:
            self._finish()
            self._silence_left = self._silence_left * sample_rate // self._resampler.from_rate
        self._resampler = Resampler(sample_rate, self.params.sample_rate)
        self._cancellation = Cancellation(sample_rate)

    @property
    def _next_sample(self) -> int:
        """Index of the next sample of the source."""
        return self.clock.first_sample + int(self._heard)

    def _hear(
        self, block: NDArray[Any], arrived_ns: int | None, layout: tuple[str, ...] = ()
    ) -> None:
        """Take the next block of the source.

        The silence for everything lost before it has to be written by then.

        Args:
            block: Samples, shape `(frames, channels)`, any PCM type.
            arrived_ns: Monotonic time at which they came; None if that does not show when they were
                captured.
            layout: Names of the channels, if the source has any.

        Raises:
            ConfigError: The block does not have the channel that is wanted.
        """
        assert not self._silence_left, "silence would come behind what was heard after it"
        channels = to_float(block)
        samples = mix_down(channels, self.params.mix, layout)
        if channels.shape[1] > 1 and self.params.mix in ("mean", "itu"):
            self._flag_cancellation(channels, samples)
        for first, last in silence_the_unreal(samples):
            self._mark(
                self._heard + self._in_first_rate(first), self._in_first_rate(last - first), "nan"
            )
        self._advance(samples)
        if arrived_ns is not None:
            self.clock.observe(self._next_sample, arrived_ns)

    def _flag_cancellation(self, channels: Samples, mono: Samples) -> None:
        """Mark what follows a time in which channels cancelled each other.

        Marks come before the samples that they are about, so they are one window late.
        """
        window = self._in_first_rate(self._cancellation.window)
        for end in self._cancellation(channels, mono):
            self._mark(self._heard + self._in_first_rate(end), window, "cancelled")

    def _lose(self, count: int, reason: str) -> None:
        """Note that the next `count` samples of the source were never heard."""
        assert self._resampler is not None
        length = self._in_first_rate(count)
        self.lost += round(length)
        played = min(count, self.longest_silence_s * self._resampler.from_rate)
        heard = self._heard + self._in_first_rate(self._silence_left)
        self._mark(heard, length, reason, self._in_first_rate(played))
        if count > played:
            self._leave_out(heard, self._in_first_rate(count - played))
        self._silence_left += played

    def _leave_out(self, heard: Fraction, count: Fraction) -> None:
        """Leave out the next `count` samples after the first `heard` of the source.

        They are the first of a gap: its silence stands for the last, which should not seem late.
        """
        at_s = (heard - self._left_out) / self.clock.sample_rate
        before = round(self._left_out)
        self._heard += count
        self._left_out += count
        self.clock.leave_out(at_s, round(self._left_out) - before)

    def _lose_seconds(self, seconds: float, reason: str) -> None:
        """Note that `seconds` of the source were never heard; 0 if the length is unknown."""
        assert self._resampler is not None
        self._lose(round(seconds * self._resampler.from_rate) or LEAST_GAP, reason)

    def _in_first_rate(self, count: int) -> Fraction:
        assert self._resampler is not None
        return Fraction(count * self.clock.sample_rate, self._resampler.from_rate)

    def _mark(
        self, heard: Fraction, count: Fraction, reason: str, written: Fraction | None = None
    ) -> None:
        """Mark a gap.

        Args:
            heard: Samples of the source before it.
            count: Samples of the source in it.
            reason: Reason of the gap.
            written: Samples that are written for it; as many as are in it by default.
        """
        self.counts[reason] += 1
        stream, clock = self.audio.stream, self.clock
        ratio = Fraction(self.params.sample_rate, clock.sample_rate)
        before, length = heard - self._left_out, count if written is None else written
        start = stream.start + int(before * ratio)
        stop = max(start + 1, stream.start - int(-(before + length) * ratio // 1))
        first = clock.first_sample + int(heard)
        stream.mark(Gap(start, stop, reason, (first, first + max(1, int(count)))))

    def _advance(self, samples: Samples) -> None:
        assert self._resampler is not None
        self._heard += self._in_first_rate(len(samples))
        began = time.monotonic_ns()
        out = self._resampler(samples)
        self.elsewhere_ns["decode"] += time.monotonic_ns() - began
        self._pending = np.concatenate([self._pending, out]) if len(self._pending) else out

    def _finish(self) -> None:
        """Flush the resampler: complete the last samples."""
        if self._resampler is not None:
            self._pending = np.concatenate([self._pending, self._resampler.flush()])

    def _write(
        self, began_ns: int | None = None, most: int | None = None, done_ns: int | None = None
    ) -> int:
        """Write pending samples, as far as there is room.

        Silence for lost samples is made here, a second at a time, so that an outage of hours takes
        no memory.

        Args:
            began_ns: Monotonic time at which work on them began; now, if None.
            most: Most samples to write; None for all.
            done_ns: Monotonic time at which they were ready; now, if None.

        Returns:
            The number of samples written.
        """
        total = 0
        while most is None or total < most:
            if not len(self._pending) and self._silence_left:
                assert self._resampler is not None
                count = min(self._silence_left, self._resampler.from_rate)
                self._silence_left -= count
                self._advance(np.zeros(count, np.float32))
                continue
            wanted = self._pending if most is None else self._pending[: most - total]
            written = self.audio.stream.write(wanted, began_ns, done_ns)
            if not written:
                break
            self._pending = self._pending[written:]
            total += written
        return total

    @property
    def _waiting(self) -> bool:
        """Whether something is left to be written."""
        return bool(len(self._pending) or self._silence_left)

    def statistics(self) -> dict[str, Any]:
        return {
            "sample_rate": self.clock.sample_rate,
            "seconds": float(self._heard / self.clock.sample_rate),
            "lost_samples": self.lost,
            "drift_ppm": self.clock.drift_ppm,
            "warnings": self.warnings,
        }


class ThreadedInput(Input[InputP]):
    """An input that waits for its source on a separate thread, which writes the stream.

    A subclass implements `capture`, which returns at the end of the source, or when `self.stopping`
    is set. The thread that runs the graph only looks whether the stream has ended or `capture` has
    raised; it is woken through the context.

    Attributes:
        stopping: Event that ends the capture; set by any thread, never cleared.
    """

    burst_s = 4.0

    longest_silence_s = 3  # what fits into the ring, so that no block is lost behind it

    stop_wait_s = 5.0
    """Most seconds that `stop` waits for the thread, which ends by itself soon after."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.stopping = threading.Event()
        # Set once, by the capture thread as it ends; read by the thread that runs the graph.
        self._error: Exception | None = None
        # Of the threads that start and stop the node, one after the other.
        self._thread: threading.Thread | None = None

    def capture(self) -> None:
        """Read the source to its end. Runs on the capture thread.

        Raises:
            AuricleError: The source is lost; that ends the run.
        """
        raise NotImplementedError

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"{self.name}-capture", daemon=True)
        self._thread.start()

    def process(self) -> Status:
        if self._error is not None:
            raise self._error
        return Status.FINISHED if self.audio.stream.ended else Status.NO_INPUT

    def interrupt(self) -> None:
        self.stopping.set()

    def stop(self) -> None:
        self.stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.stop_wait_s)
        # A resampler that outlives Python makes soxr's bindings print that instances of it leaked,
        # and a thread that is still in a read refers to this node until then. It hears no more.
        self._resampler = None

    def _run(self) -> None:
        try:
            self.capture()
            self._write_all()
            if not self.stopping.is_set():
                self._finish()
                self._write_all()
                self.audio.stream.end()
        except Exception as error:  # raised again by `process`, which ends the run
            self._error = error
        self.context.wake()

    def _write_all(self, began_ns: int | None = None) -> None:
        """Write everything, waiting for room: for sources that can be made to wait."""
        while not self.stopping.is_set():
            if self._write(began_ns):
                self.context.wake()
            if not self._waiting:
                return
            self.stopping.wait(ROOM_POLL_S)

    def _unless_stopping(self, seconds: float) -> bool:
        """Wait `seconds`, or until the input is stopped; returns whether it was not stopped."""
        return not self.stopping.wait(seconds)
