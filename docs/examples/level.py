"""How loud a stream is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis
from auricle.engine.transform import Transform

FLOAT32 = np.dtype(np.float32)


class LevelParams(NodeParams):
    """Parameters of `Level`."""

    frame_size: int = Field(1600, gt=0, description="Samples of one measurement.")
    floor_db: float = Field(-100.0, lt=0, description="Level of digital silence, dBFS.")


class Level(Transform[LevelParams]):
    """The level of a stream in dBFS, one value for each window of samples."""

    stage = "level"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        size = self.params.frame_size
        audio = self.add_input(
            InputPort("audio", "Mono samples.", FLOAT32, frame_size=size, hop_size=size)
        )
        self.add_output(
            OutputPort("level", "Level, dBFS.", FLOAT32, (Axis("level", 1),), follows=audio)
        )

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        frames = windows.reshape(-1, self.params.frame_size)  # (windows, frame_size)
        power = np.square(frames, dtype=np.float64).mean(axis=1)
        least = 10 ** (self.params.floor_db / 10)
        outputs["level"][:, 0] = 10 * np.log10(np.maximum(power, least))
