"""Small nodes for tests of the core: whole numbers in, sums out."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.marks import Gap, Mark
from auricle.engine.node import Node, NodeParams, Source, Status
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis
from auricle.engine.transform import Transform
from auricle.errors import InputError

FLOAT32 = np.dtype(np.float32)


class CounterParams(NodeParams):
    total: int = 100
    blocks: tuple[int, ...] = (7,)
    rate: Fraction = Fraction(100)
    gaps: tuple[tuple[int, int, str], ...] = ()
    breaks_at: int | None = None
    endless: bool = False


class Counter(Source[CounterParams]):
    """Gives 1, 2, 3, ... in blocks of the given sizes in turn, with gaps of silence where asked."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.out = self.add_output(
            OutputPort("numbers", "Whole numbers.", FLOAT32, rate=self.params.rate)
        )
        self.clock.sample_rate = int(self.params.rate)
        self.given = 0
        self.calls = 0
        self.gaps = list(self.params.gaps)

    def process(self) -> Status:
        params, stream = self.params, self.out.stream
        if params.breaks_at is not None and self.given >= params.breaks_at:
            raise InputError("the line was cut")
        if self.given == params.total and not params.endless:
            stream.end()
            return Status.FINISHED
        block = params.blocks[self.calls % len(params.blocks)]
        self.calls += 1
        left = block if params.endless else params.total - self.given
        values = np.arange(self.given + 1, self.given + min(block, left) + 1, dtype=np.float32)
        for first, count, _ in params.gaps:
            values[(values > first) & (values <= first + count)] = 0
        values = values[: stream.room()]
        while self.gaps and self.gaps[0][0] < self.given + len(values):
            first, count, reason = self.gaps.pop(0)
            stream.mark(
                Gap(
                    stream.start + first,
                    stream.start + first + count,
                    reason,
                    (first, first + count),
                )
            )
        self.given += stream.write(values)
        return Status.OK if len(values) else Status.NO_ROOM


class SumsParams(NodeParams):
    frame_size: int = 10
    hop_size: int = 5
    before: int = 5
    remembers: bool = False


class Sums(Transform[SumsParams]):
    """Sum of each window, plus the sum of all before it since the last reset."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        p = self.params
        port = InputPort(
            "numbers", "Numbers.", FLOAT32, None, None, p.frame_size, p.hop_size, p.before
        )
        self.add_output(
            OutputPort("sums", "Sums.", FLOAT32, (Axis("sum", 1),), follows=self.add_input(port))
        )
        self.memory = 0.0
        self.resets: list[int] = []
        self.skipping: dict[int, str] = {}

    def reset(self) -> None:
        self.memory = 0.0
        self.resets.append(self.reader.number)

    def declined(self, count: int) -> tuple[int, str | None]:
        return (1, self.skipping.get(self.reader.number)) if self.skipping else (count, None)

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        for row in range(len(outputs["sums"])):
            start = row * self.params.hop_size
            total = float(windows[start : start + self.params.frame_size].sum())
            outputs["sums"][row] = total + (self.memory if self.params.remembers else 0)
            self.memory += total


class Sink(Node):
    """Keeps every value, and every mark."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.port = self.add_input(InputPort("values", "Anything.", None, axes=None))
        self.values: list[float] = []
        self.skipped: list[int] = []
        self.marks: list[Mark] = []
        self.enough = threading.Event()
        self.wanted = 1
        self.stops = 0

    def process(self) -> Status:
        reader = self.port.reader
        ended, count = reader.stream.ended, reader.windows()
        self.marks += reader.new_marks()
        if not count:
            return Status.FINISHED if ended else Status.NO_INPUT
        reader.gap()
        count, skip = reader.stretch(count)
        if skip is None:
            self.values += reader.view(count).ravel().tolist()
        else:
            self.skipped += range(reader.number, reader.number + count)
        reader.release(count)
        if len(self.values) >= self.wanted:
            self.enough.set()
        return Status.OK

    def stop(self) -> None:
        self.stops += 1


class Player(Source):
    """Plays samples in blocks of the given sizes in turn; some of them are gaps, which are silent."""

    def __init__(
        self,
        name: str,
        samples: NDArray[np.float32],
        blocks: tuple[int, ...] = (1024,),
        gaps: tuple[tuple[int, int, str], ...] = (),
        live: bool = False,
    ) -> None:
        super().__init__(name)
        self.out = self.add_output(
            OutputPort("audio", "Samples.", FLOAT32, rate=Fraction(16000), burst_s=4)
        )
        self.samples = samples.astype(np.float32).copy()
        for first, count, _ in gaps:
            self.samples[first : first + count] = 0
        self.blocks, self.gaps, self.live = blocks, list(gaps), live
        self.given = self.calls = 0

    def process(self) -> Status:
        stream = self.out.stream
        if self.given == len(self.samples):
            stream.end()
            return Status.FINISHED
        block = self.blocks[self.calls % len(self.blocks)]
        self.calls += 1
        values = self.samples[self.given : self.given + min(block, stream.room())]
        if not len(values):
            return Status.NO_ROOM
        while self.gaps and self.gaps[0][0] < self.given + len(values):
            first, count, reason = self.gaps.pop(0)
            stream.mark(
                Gap(
                    stream.start + first,
                    stream.start + first + count,
                    reason,
                    (first, first + count),
                )
            )
        self.given += stream.write(values)
        self.clock.observe(self.given, self.began_ns)
        return Status.OK


class Recorder(Node):
    """Keeps every token of one stream by its number, and every mark."""

    def __init__(self, name: str, dtype: Any = None) -> None:
        super().__init__(name)
        self.port = self.add_input(
            InputPort("tokens", "Anything.", dtype, axes=() if dtype else None)
        )
        self.tokens: dict[int, Any] = {}
        self.marks: list[Mark] = []

    def process(self) -> Status:
        reader = self.port.reader
        ended, count = reader.stream.ended, reader.windows()
        self.marks += reader.new_marks()
        if not count:
            return Status.FINISHED if ended else Status.NO_INPUT
        reader.gap()
        count, skip = reader.stretch(count)
        if skip is None:
            for row, token in enumerate(reader.view(count)):
                self.tokens[reader.number + row] = (
                    token.copy() if isinstance(token, np.ndarray) else token
                )
        reader.release(count)
        return Status.OK
