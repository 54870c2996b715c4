"""The node that plays samples in memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.node import Status
from auricle.errors import InputError
from auricle.nodes.inputs.base import Input

AT_ONCE_S = 1.0
"""Seconds of audio taken from the array in one piece."""


class SamplesInput(Input):
    """Samples of a program's own, as fast as they are read. Graph files cannot name it.

    Args:
        name: Name of the node.
        samples: PCM of any type, shape `(frames,)` or `(frames, channels)`; not copied.
        source_rate: Rate of the samples, Hz.
        params: Parameters of every input.

    Raises:
        InputError: The array is empty, or is not PCM of this shape.
    """

    burst_s = 2.0

    def __init__(self, name: str, samples: NDArray[Any], source_rate: int, **params: Any) -> None:
        super().__init__(name, **params)
        if source_rate <= 0:
            raise InputError(f"sample_rate={source_rate} must be positive", node=name)
        self._samples = _as_pcm(samples, name)
        self._source_rate = source_rate
        self._taken = 0
        self._finished = False

    @property
    def duration_s(self) -> float:
        """Length of the samples in seconds."""
        return len(self._samples) / self._source_rate

    def start(self) -> None:
        self._open(self._source_rate)

    def process(self) -> Status:
        written = 0
        while not self.audio.stream.ended:
            if self._waiting:
                count = self._write(self.began_ns)
                if not count:
                    return Status.OK if written else Status.NO_ROOM
                written += count
            elif self._taken < len(self._samples):
                stop = self._taken + max(1, round(AT_ONCE_S * self._source_rate))
                block = self._samples[self._taken : stop].copy()  # NaN is silenced in place
                self._taken += len(block)
                self._hear(block, time.monotonic_ns())
            elif not self._finished:
                self._finish()
                self._finished = True
                self._judge()
            else:
                self.audio.stream.end()
        return Status.FINISHED

    def _judge(self) -> None:
        if self.counts["nan"]:
            places = "1 place" if self.counts["nan"] == 1 else f"{self.counts['nan']} places"
            self.warnings.append(f"samples that are not numbers in {places}, silenced")


def _as_pcm(samples: NDArray[Any], node: str) -> NDArray[Any]:
    """The samples with an axis of channels."""
    array = np.asarray(samples)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.dtype not in (np.uint8, np.int16, np.int32, np.float32, np.float64):
        found = f"{array.dtype} of shape {np.shape(samples)}"
        raise InputError(
            f"samples are {found}; (frames,) or (frames, channels) of uint8, int16, int32, float32 "
            "or float64 is needed",
            node=node,
        )
    if not array.size:
        raise InputError("samples are empty", node=node)
    return array
