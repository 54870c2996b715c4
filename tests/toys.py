"""Small nodes for tests of the core: whole numbers in, sums out."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.marks import Skip
from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.reader import Reader
from auricle.engine.stream import Axis
from auricle.engine.testing import Player, PlayerParams, Recorder
from auricle.engine.transform import Transform
from auricle.errors import InputError

FLOAT32 = np.dtype(np.float32)


class CounterParams(PlayerParams):
    total: int = 100
    blocks: tuple[int, ...] = (7,)
    rate: Fraction = Fraction(100)
    breaks_at: int | None = None
    endless: bool = False


class Counter(Player[CounterParams]):
    """Gives 1, 2, 3, ... in blocks of the given sizes in turn, with gaps of silence where asked."""

    burst_s = 1.0

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, np.zeros(0, FLOAT32), **{"blocks": (7,), **params})

    def next_block(self, most: int) -> NDArray[Any]:
        params = self.params
        if params.breaks_at is not None and self.given >= params.breaks_at:
            raise InputError("the line was cut")
        left = most if params.endless else params.total - self.given
        values = np.arange(self.given + 1, self.given + min(most, left) + 1, dtype=np.float32)
        for first, count, _ in params.gaps:
            values[(values > first) & (values <= first + count)] = 0
        return values


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


class Sink(Recorder):
    """Keeps every value, too, and can be waited for."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.values: list[float] = []
        self.enough = threading.Event()
        self.wanted = 1
        self.stops = 0

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        super().take(port, reader, count)
        self.values += reader.view(count).ravel().tolist()
        if len(self.values) >= self.wanted:
            self.enough.set()

    @property
    def skipped(self) -> list[int]:
        """Numbers of the tokens that were skipped."""
        return sorted(number for number, _ in self.places(Skip))

    def stop(self) -> None:
        self.stops += 1
