"""The node that turns audio into mel frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis, Stream
from auricle.engine.transform import Transform
from auricle.models.front_end import FRONT_ENDS, FrontEnd, FrontEndName
from auricle.nodes.predictions import FLOAT32
from auricle.nodes.signal.mel import MelKernel


def mel_axis(front_end: FrontEnd) -> Axis:
    """The axis of a mel frame, named after its front end, so that two cannot be mixed up."""
    return Axis(f"mel_{front_end.name}", front_end.n_mels)


class MelSpectrogramParams(NodeParams):
    """Parameters of `MelSpectrogram`."""

    front_end: FrontEndName = Field(
        "musicnn", description="Front end that the model was trained on."
    )


class MelSpectrogram(Transform[MelSpectrogramParams]):
    """Mel frames of audio, `(n_mels,)` float32 each; frame `t` is centred on sample `t * hop_size`.

    Zeros stand before the first sample, and complete the last frames where the stream ends, as
    many as the front end defines. A gap reaches this node as silence.
    """

    stage = "mel"

    rest = 4
    """Most frames that zeros may complete: those that begin in the last frame_size samples."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.front_end = front_end = FRONT_ENDS[self.params.front_end]
        audio = self.add_input(
            InputPort(
                "audio",
                "Mono samples.",
                FLOAT32,
                rate=Fraction(front_end.sample_rate),
                frame_size=front_end.frame_size,
                hop_size=front_end.hop_size,
                before=front_end.padding,
            )
        )
        self.add_output(
            OutputPort("mel", "Mel frames.", FLOAT32, (mel_axis(front_end),), follows=audio)
        )
        self._kernel: MelKernel | None = None

    def start(self) -> None:
        self._kernel = MelKernel(self.front_end)

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        assert self._kernel is not None
        self._kernel(windows, outputs["mel"])

    def flush(self, rest: NDArray[Any], write: dict[str, Stream]) -> None:
        audio = self.reader.stream
        frames = self.front_end.n_frames(audio.written - audio.start) - self.reader.number
        if frames <= 0:
            return
        samples = np.zeros(self.front_end.n_samples(frames), np.float32)
        samples[: len(rest)] = rest[: len(samples)]
        self.compute(samples, {"mel": write["mel"].reserve(frames)})
        write["mel"].commit(frames, self.began_ns)
