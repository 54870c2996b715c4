"""A node that holds its worker up for a while, when a test wants that."""

from __future__ import annotations

import threading
from typing import Any

from auricle.engine.port import InputPort
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink


class Gate(Sink):
    """Takes anything; in streams whose name begins with `guest`, the first time when it is opened.

    Attributes:
        gates: Those of guests, by the name of their stream.
        inside: Set when the worker is held up.
        opened: Event to set when it may continue.
    """

    gates: dict[str, Gate] = {}  # noqa: RUF012 - filled on purpose

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.add_input(InputPort("values", "Anything.", None, axes=None))
        self.inside, self.opened = threading.Event(), threading.Event()

    def start(self) -> None:
        if self.context.stream.startswith("guest"):
            self.gates[self.context.stream] = self

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        if self.context.stream.startswith("guest"):
            self.inside.set()
            assert self.opened.wait(30)
