"""librosa and ONNX Runtime: a pipeline as one would write it by hand, file by file.

The parameters are those that give this model's numbers: librosa's Slaney filters, the power
spectrum, zeros around the signal, and a symmetric Hann window, which has to be passed, since
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
"""Segments of one inference; more of them are no faster."""


class Tagger:
    """The whole file, step by step.

    Args:
        settings: `file`, `onnx`, `segment_size` in mel frames, `threads`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._librosa: Any = importlib.import_module("librosa")
        onnxruntime: Any = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings["threads"]
        self._session = onnxruntime.InferenceSession(
            settings["onnx"], options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._window = np.hanning(512).astype(np.float32)
        self._file, self._segment_size = settings["file"], settings["segment_size"]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tag the file at a `hop_size` in frames; write (segments, classes) float32 to `output`."""
        began = time.perf_counter_ns()
        samples, _ = self._librosa.load(self._file, sr=16000)
        mel = self._mel_frames(samples)
        size, hop = self._segment_size, request["hop_size"]
        segments = np.stack([mel[at : at + size] for at in range(0, len(mel) - size + 1, hop)])
        batches = [segments[at : at + BATCH] for at in range(0, len(segments), BATCH)]
        run, name = self._session.run, self._input
        outputs = [run(["activations"], {name: batch})[0] for batch in batches]
        activations = np.concatenate(outputs)
        seconds = (time.perf_counter_ns() - began) / 1e9
        np.save(request["output"], activations)
        return {"seconds": seconds}

    def _mel_frames(self, samples: Any) -> Any:
        """Mel frames of samples, shapes `(frames, 96)` and `(samples,)`."""
        # Zeros, so that the last samples have frames too.
        whole = np.pad(samples, (0, -len(samples) % HOP_SIZE))
        power = self._librosa.feature.melspectrogram(
            y=whole,
            sr=16000,
            n_fft=512,
            hop_length=HOP_SIZE,
            n_mels=96,
            window=self._window,
            pad_mode="constant",
        )
        return np.log10(10000 * power + 1).T


def prepare(settings: dict[str, Any]) -> tuple[dict[str, str], Answer]:
    """See `Tagger`."""
    tagger = Tagger(settings)
    versions = {f"peers' {each}": version(each) for each in ("librosa", "onnxruntime", "numpy")}
    return versions, tagger.answer


if __name__ == "__main__":
    serve(prepare)
