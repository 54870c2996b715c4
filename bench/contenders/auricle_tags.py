"""Auricle: a file through `FileTagger`, as `auricle tag` does it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

from auricle import FileTagger


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """A request tags the file, and is answered with `seconds` taken and `audio_s`, its length.

    It gives the `hop_size` in mel frames, and as `output` the .npy file for the activations,
    (segments, classes) float32.

    Args:
        settings: `file`, `model`, `threads`.
    """
    file, model, threads = (settings[each] for each in ("file", "model", "threads"))

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter_ns()
        tagger = FileTagger(file, model, request["hop_size"], threads=threads)
        segments = list(tagger)
        seconds = (time.perf_counter_ns() - began) / 1e9
        activations = [list(segment.activations.values()) for segment in segments]
        np.save(request["output"], np.array(activations, np.float32))
        return {"seconds": seconds, "audio_s": tagger.decoded_s}

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
