"""Mel spectrograms, frame by frame from a stream or from a whole signal.

Two front ends, `FRONT_ENDS["musicnn"]` and `FRONT_ENDS["vggish"]`, give the numbers that the
published models of these families were trained on; a model given a slightly different mel is
slightly wrong, which nobody notices. `auricle.models.front_end` defines them and names their
sources.

Where a frame sits. The kernel knows no time: frame t of a call starts at sample t * hop_size of its
argument. In a spectrogram of a signal, frame t is centred on sample t * hop_size: half a frame of
zeros is put before the first sample, and zeros after the last one complete the last frames. Nothing
is mirrored.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from auricle.models.front_end import FrontEnd
from auricle.nodes.signal import fft

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


# Slaney's scale is straight (3 mel per 200 Hz) up to 1 kHz = 15 mel, then 27 mel per factor 6.4.
_SLANEY_KNEE_HZ, _SLANEY_KNEE_MEL, _SLANEY_STEP = 1000.0, 15.0, math.log(6.4) / 27


def hz_to_mel(hz: DoubleArray, scale: Literal["slaney", "htk"]) -> DoubleArray:
    """Convert frequencies in Hz, of any shape, to a mel scale."""
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    curved = (
        _SLANEY_KNEE_MEL + np.log(np.maximum(hz, _SLANEY_KNEE_HZ) / _SLANEY_KNEE_HZ) / _SLANEY_STEP
    )
    return np.where(hz < _SLANEY_KNEE_HZ, 3 * hz / 200, curved)


def mel_to_hz(mel: DoubleArray, scale: Literal["slaney", "htk"]) -> DoubleArray:
    """Convert values on a mel scale, of any shape, to Hz; the inverse of `hz_to_mel`."""
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    curved = _SLANEY_KNEE_HZ * np.exp((mel - _SLANEY_KNEE_MEL) * _SLANEY_STEP)
    return np.where(mel < _SLANEY_KNEE_MEL, 200 * mel / 3, curved)


def filter_bank(front_end: FrontEnd) -> DoubleArray:
    """Weights of the triangular bands.

    Band b rises from edge b to edge b + 1 and falls to edge b + 2, of n_mels + 2 edges equidistant
    in mel. Bin k lies at k * sample_rate / n_fft Hz.

    Returns:
        Shape (n_mels, n_fft / 2 + 1), float64.
    """
    low, high = hz_to_mel(np.array([front_end.f_min, front_end.f_max]), front_end.mel_scale)
    edges_mel = np.linspace(low, high, front_end.n_mels + 2)
    edges_hz = mel_to_hz(edges_mel, front_end.mel_scale)
    hz_per_bin = front_end.sample_rate / front_end.n_fft
    bins_hz = np.arange(front_end.n_fft // 2 + 1, dtype=np.float64) * hz_per_bin
    if front_end.triangles == "hz":
        edges, bins = edges_hz, bins_hz
    else:
        edges, bins = edges_mel, hz_to_mel(bins_hz, front_end.mel_scale)
    foot, top, end = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank: DoubleArray = np.maximum(
        0, np.minimum((bins - foot) / (top - foot), (end - bins) / (end - top))
    )
    if front_end.norm == "area":
        bank *= 2 / (edges_hz[2:, None] - edges_hz[:-2, None])
    return bank


def window(front_end: FrontEnd) -> DoubleArray:
    """Analysis window, shape (frame_size,): the symmetric Hann, not the usual periodic one."""
    return np.hanning(front_end.frame_size)


@dataclass(frozen=True)
class _Tables:
    """Constants of a front end as `fft.mel_frames` reads them; shared by all of its kernels."""

    window: FloatArray  # (frame_size,)
    taps: FloatArray
    starts: npt.NDArray[np.uint16]  # (n_mels,)
    ends: npt.NDArray[np.uint16]  # (n_mels / 4 + 1,)


@cache
def _tables(front_end: FrontEnd) -> _Tables:
    """Lay out the bank by groups of four bands: (taps, 4), as many taps as the widest of them.

    Raises:
        ValueError: The kernel does not support the front end.
    """
    where = f"front end '{front_end.name}'"
    if front_end.n_fft != fft.N_FFT:
        raise ValueError(
            f"{where}: n_fft={front_end.n_fft}, and {fft.N_FFT} is the only size supported"
        )
    if front_end.n_mels % fft.BAND_GROUP:
        raise ValueError(
            f"{where}: n_mels={front_end.n_mels} must be a positive multiple of {fft.BAND_GROUP}"
        )
    bank = filter_bank(front_end) * front_end.gain
    starts = (bank > 0).argmax(axis=1)
    widths = (bank > 0).sum(axis=1)  # a triangle has no holes
    if widths.max() > fft.PADDED_BINS - fft.N_BINS:
        raise ValueError(
            f"{where}: n_mels={front_end.n_mels} makes bands of {widths.max()} bins, and "
            f"{fft.PADDED_BINS - fft.N_BINS} is the most the kernel has room for"
        )
    padded = np.pad(bank, ((0, 0), (0, fft.PADDED_BINS - fft.N_BINS)))
    blocks: list[DoubleArray] = []
    for first in range(0, front_end.n_mels, fft.BAND_GROUP):
        group = slice(first, first + fft.BAND_GROUP)
        columns = starts[group] + np.arange(widths[group].max())[:, None]  # (taps, 4)
        blocks.append(padded[np.arange(first, first + fft.BAND_GROUP), columns])
    return _Tables(
        # Halved, which is exact: see `fft.transform`.
        window=(0.5 * window(front_end)).astype(np.float32),
        taps=np.concatenate([block.ravel() for block in blocks]).astype(np.float32),
        starts=starts.astype(np.uint16),
        ends=np.cumsum([0, *(len(block) for block in blocks)]).astype(np.uint16),
    )


def _described(array: npt.NDArray[np.generic]) -> str:
    """Type, shape and layout of an array, for a message."""
    layout = "contiguous" if array.flags.c_contiguous else "strided"
    access = "writable" if array.flags.writeable else "read-only"
    return f"{array.dtype} {array.shape} ({layout}, {access})"


class MelKernel:
    """Computes mel frames from contiguous samples, without allocating.

    A frame's output depends on its own samples alone, bit for bit: not on how many frames are
    computed in one call, nor on previous calls. It has no state except scratch memory. The
    interpreter lock is released while it runs. A kernel is used by one thread at a time; several
    threads need several kernels.

    Building the first kernel of a process compiles the arithmetic (seconds) or loads it from
    numba's cache, so calls never wait for the compiler.

    Attributes:
        front_end: Front end that it computes.
        silence: Frame of silence, shape (n_mels,), float32: exactly 0 for "musicnn", ln 0.01 for
            "vggish".
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        fft.prepare()
        tables = _tables(front_end)
        self._constants = (tables.window, tables.taps, tables.starts, tables.ends)
        self._parameters = (
            np.zeros(fft.mel_work_size(front_end.n_mels), dtype=np.float32),
            front_end.hop_size,
            front_end.spectrum == "magnitude",
            # A Python float would do, but would be converted on every call.
            np.float32(front_end.offset),
            np.float32(1.0 if front_end.log == "ln" else 1 / math.log(10)),
        )
        silence = np.empty((1, front_end.n_mels), dtype=np.float32)
        self(np.zeros(front_end.frame_size, dtype=np.float32), silence)
        silence.setflags(write=False)
        self.silence: FloatArray = silence[0]

    def __call__(self, samples: FloatArray, out: FloatArray) -> None:
        """Compute all the frames of `samples` into `out`.

        Args:
            samples: Samples, shape (frame_size + (frames - 1) * hop_size,), float32, contiguous, at
                any multiple of 4 bytes, read-only or not; full scale is 1. Frame t starts at sample
                t * hop_size. Values are finite and below 1e12 in magnitude: any other makes the
                frames that contain it meaningless (and perhaps finite), and no others.
            out: Written, shape (frames, n_mels), float32, contiguous; it shares no memory with
                `samples`. For no frames, `samples` is empty too.

        Raises:
            ValueError: The sizes do not fit each other.
            TypeError: Another dtype or layout.
        """
        name = self.front_end.name
        try:
            fits = fft.mel_frames(samples, out, *self._constants, *self._parameters)
        except TypeError as error:
            raise TypeError(
                f"front end '{name}': samples {_described(samples)} and out {_described(out)}; "
                "both must be contiguous float32, samples of one axis, out of two and writable"
            ) from error
        if not fits:
            size, hop, n_mels = (
                self.front_end.frame_size,
                self.front_end.hop_size,
                self.front_end.n_mels,
            )
            raise ValueError(
                f"front end '{name}': samples {samples.shape} do not fit out {out.shape}; "
                f"n frames take {size} + (n - 1) * {hop} samples and give (n, {n_mels})"
            )


def mel_spectrogram(samples: npt.ArrayLike, front_end: FrontEnd) -> FloatArray:
    """Mel spectrogram of a whole signal.

    Args:
        samples: Signal at `front_end.sample_rate`, shape (samples,); full scale is 1. Converted to
            float32.
        front_end: One of `FRONT_ENDS`.

    Returns:
        Shape (frames, n_mels), float32; frames = 1 + ceil(samples / hop_size), or 0 for no samples.
        Frame t is centred on sample t * hop_size, with zeros before the first sample and after the
        last.

    Raises:
        ValueError: `samples` has more than one axis.

    Deviations from Essentia: all-zero frames stay so, where its frame cutter adds noise at -100 dB;
    after the compression of "musicnn" both are 0. The tables are made in float64, so that the
    output is closer to the formulas: on music within 1e-5 of them, where Essentia's own is within
    4e-4. Beside a pure tone of full scale, nearly empty bands of "vggish" are within 5e-4 in both,
    which is the limit of float32.

    >>> from auricle.models.front_end import FRONT_ENDS
    >>> mel_spectrogram(np.zeros(16000), FRONT_ENDS["musicnn"]).shape
    (64, 96)
    """
    signal = np.asarray(samples, dtype=np.float32)
    if signal.ndim != 1:
        raise ValueError(
            f"samples of shape {signal.shape} must have one axis; mix channels down first"
        )
    frames = front_end.n_frames(signal.size)
    out = np.empty((frames, front_end.n_mels), dtype=np.float32)
    if frames:
        padded = np.zeros(front_end.n_samples(frames), dtype=np.float32)
        padded[front_end.padding : front_end.padding + signal.size] = signal
        MelKernel(front_end)(padded, out)
    return out
