"""Mel frames as people write them with NumPy: all frames of a call in one product, float32
throughout.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

FRAME_SIZE, HOP_SIZE, GAIN = 512, 256, 10000


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `samples` and `bank`, .npy files: padded samples, and weights (bins, bands).

    Requests: `at_a_time`, frames of a call; `calls`, how often the first of them is timed, 0 for
    not at all; `output`, for all frames.
    """
    # SciPy's transform where there is one, which is a little faster.
    found = importlib.util.find_spec("scipy")
    rfft: Any = importlib.import_module("scipy.fft" if found else "numpy.fft").rfft
    samples, bank = np.load(settings["samples"]), np.load(settings["bank"])
    window = np.hanning(FRAME_SIZE).astype(np.float32)

    def compute(part: Any) -> Any:
        frames = np.lib.stride_tricks.sliding_window_view(part, FRAME_SIZE)[::HOP_SIZE]
        spectrum = rfft(frames * window, axis=-1)
        return np.log10(1 + GAIN * ((spectrum.real**2 + spectrum.imag**2) @ bank))

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        count = request["at_a_time"]
        span = FRAME_SIZE + (count - 1) * HOP_SIZE
        if not request["calls"]:
            step = count * HOP_SIZE
            parts = [
                samples[at : at + span] for at in range(0, len(samples) - FRAME_SIZE + 1, step)
            ]
            np.save(request["output"], np.concatenate([compute(part) for part in parts]))
            return {}
        part = samples[:span]
        began = time.perf_counter_ns()
        for _ in range(request["calls"]):
            compute(part)
        return {"seconds": (time.perf_counter_ns() - began) / 1e9 / request["calls"]}

    return {"numpy": version("numpy")}, answer


if __name__ == "__main__":
    serve(prepare)
