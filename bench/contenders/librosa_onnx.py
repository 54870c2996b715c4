"""librosa and ONNX Runtime: what people write themselves, file by file.

The parameters are those that give this model's numbers: librosa's Slaney filters, the power
spectrum, zeros around the signal, and a symmetric Hann window, which has to be handed over, since
librosa's own is periodic.
"""

from __future__ import annotations

import importlib
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from protocol import Answer, serve  # type: ignore[import-not-found]

HOP_SIZE = 256
BATCH = 16
"""Segments of one inference. More does not make them faster."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """Settings: `file`, `onnx`, `segment_size`, `threads`. Requests: `hop_frames`, and `output`."""
    librosa: Any = importlib.import_module("librosa")
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["threads"]
    session = onnxruntime.InferenceSession(
        settings["onnx"], options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    window = np.hanning(512).astype(np.float32)

    def mel_frames(samples: Any) -> Any:
        """(frames, 96) of (samples,)."""
        whole = np.pad(
            samples, (0, -len(samples) % HOP_SIZE)
        )  # so that the last samples have frames too
        power = librosa.feature.melspectrogram(
            y=whole,
            sr=16000,
            n_fft=512,
            hop_length=HOP_SIZE,
            n_mels=96,
            window=window,
            pad_mode="constant",
        )
        return np.log10(10000 * power + 1).T

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter_ns()
        samples, _ = librosa.load(settings["file"], sr=16000)
        mel = mel_frames(samples)
        size, hop = settings["segment_size"], request["hop_frames"]
        segments = np.stack([mel[at : at + size] for at in range(0, len(mel) - size + 1, hop)])
        batches = [segments[at : at + BATCH] for at in range(0, len(segments), BATCH)]
        activations = np.concatenate(
            [session.run(["activations"], {name: batch})[0] for batch in batches]
        )
        seconds = (time.perf_counter_ns() - began) / 1e9
        np.save(request["output"], activations)
        return {"seconds": seconds}

    return {f"peers' {each}": version(each) for each in ("librosa", "onnxruntime", "numpy")}, answer


if __name__ == "__main__":
    serve(prepare)
