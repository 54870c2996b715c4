"""The front ends: from samples to the mel frames that models are trained on and fed with.

Names and numbers are defined here once. Model cards refer to a front end by its name and repeat its
numbers for other readers, which `auricle.models.card.FrontEndSpec` compares with these; the
arithmetic is in `auricle.nodes.signal.mel`. Formulas: the mel scales of Slaney (Auditory Toolbox,
Interval Technical Report 1998-010) and of the HTK Book (section 5.4); parameters as Essentia's
TensorflowInputMusiCNN and TensorflowInputVGGish document them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

FrontEndName = Literal["musicnn", "vggish"]


@dataclass(frozen=True)
class FrontEnd:
    """Definition of mel frames: log(offset + gain * (bank @ spectrum of the windowed frame)).

    Attributes:
        name: Name in `FRONT_ENDS` and in model cards.
        frame_size: Samples of an analysis frame, even.
        hop_size: Samples from one frame to the next.
        n_mels: Bands of a frame.
        f_min: Lower foot of the first triangle, in Hz.
        f_max: Upper foot of the last triangle, in Hz.
        mel_scale: Scale on which the centres of the bands are equidistant.
        triangles: Scale on which the slopes of the triangles are straight.
        norm: Scaling of each triangle: "area" by 2 / its width in Hz, "peak" leaves its top at 1.
        spectrum: Values that the bands sum, |X|^2 or |X|.
        gain: Factor before the logarithm.
        offset: Summand before the logarithm, positive.
        log: Base of the logarithm.
        sample_rate: Sample rate, Hz.
        n_fft: Points of the transform; a shorter frame is padded with zeros at its end.
        window: Analysis window. The symmetric Hann window is 0 at both ends, unlike the periodic
            one.

    Raises:
        ValueError: The numbers do not fit each other.
    """

    name: str
    frame_size: int
    hop_size: int
    n_mels: int
    f_min: float
    f_max: float
    mel_scale: Literal["slaney", "htk"]
    triangles: Literal["hz", "mel"]
    norm: Literal["area", "peak"]
    spectrum: Literal["power", "magnitude"]
    gain: float
    offset: float
    log: Literal["log10", "ln"]
    sample_rate: int = 16000
    n_fft: int = 512
    window: Literal["hann symmetric"] = "hann symmetric"

    def __post_init__(self) -> None:
        where = f"front end '{self.name}'"
        if self.frame_size % 2 or not 2 <= self.frame_size <= self.n_fft:
            raise ValueError(
                f"{where}: frame_size={self.frame_size} must be even and within 2..{self.n_fft}"
            )
        if not 1 <= self.hop_size <= self.frame_size:
            raise ValueError(
                f"{where}: hop_size={self.hop_size} must be within 1..{self.frame_size}"
            )
        if self.n_mels < 1:
            raise ValueError(f"{where}: n_mels={self.n_mels} must be positive")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            limit = self.sample_rate / 2
            raise ValueError(
                f"{where}: f_min={self.f_min}, f_max={self.f_max} must ascend within 0..{limit:g}"
            )
        if not self.offset > 0:
            raise ValueError(
                f"{where}: offset={self.offset} must be positive, or silence has no logarithm"
            )

    @property
    def rate(self) -> Fraction:
        """Frames a second, as an exact fraction."""
        return Fraction(self.sample_rate, self.hop_size)

    @property
    def padding(self) -> int:
        """Number of zeros before the first sample of a signal, which centre frame 0 on it."""
        return self.frame_size // 2

    @property
    def compression(self) -> str:
        """The compression as a formula."""
        return f"{self.log}({self.offset:g} + {self.gain:g} * x)"

    def n_frames(self, n_samples: int) -> int:
        """Frames of a signal of `n_samples` samples: 1 + ceil(n_samples / hop_size), or 0 for 0."""
        return 1 + -(-n_samples // self.hop_size) if n_samples else 0

    def n_samples(self, n_frames: int) -> int:
        """Samples that `n_frames` (>= 1) frames span, the padding included."""
        return self.frame_size + (n_frames - 1) * self.hop_size


FRONT_ENDS: Final[dict[str, FrontEnd]] = {
    "musicnn": FrontEnd(
        name="musicnn",
        frame_size=512,
        hop_size=256,
        n_mels=96,
        f_min=0.0,
        f_max=8000.0,
        mel_scale="slaney",
        triangles="hz",
        norm="area",
        spectrum="power",
        gain=1e4,
        offset=1.0,
        log="log10",
    ),
    "vggish": FrontEnd(
        name="vggish",
        frame_size=400,
        hop_size=160,
        n_mels=64,
        f_min=125.0,
        f_max=7500.0,
        mel_scale="htk",
        triangles="mel",
        norm="peak",
        spectrum="magnitude",
        gain=1.0,
        offset=0.01,
        log="ln",
    ),
}
