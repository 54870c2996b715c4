"""How far a stream rises above its background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.join import Join
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis

FLOAT32 = np.dtype(np.float32)
LEVEL = (Axis("level", 1),)


class Rise(Join):
    """The level minus the latest level of the background, dB, one value for each level."""

    stage = "rise"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        level = self.add_input(InputPort("level", "Level, dBFS; the clock.", FLOAT32, LEVEL))
        self.add_input(InputPort("background", "A slower level, dBFS.", FLOAT32, LEVEL))
        self.add_output(OutputPort("rise", "Rise, dB.", FLOAT32, (Axis("rise", 1),), follows=level))

    def combine(
        self, windows: Mapping[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
    ) -> None:
        outputs["rise"][0] = windows["level"][-1] - windows["background"][-1]
