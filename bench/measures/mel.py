"""Mel frames: the kernel and the node against NumPy and against Essentia's streaming front end."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.front_end import FRONT_ENDS
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.signal.mel import MelKernel, filter_bank, mel_spectrogram, window
from bench.audio import SAMPLE_RATE, clip, decode
from bench.replay import Replay, run_through
from bench.report import Report
from bench.timing import (
    Measurement,
    Progress,
    Spread,
    alternate,
    calls_for,
    parse_cores,
    pinned,
    ratios,
    silent,
    timed,
)
from bench.workers import CONTENDERS, Worker, peers_python

AT_A_TIME = (1, 4, 16, 64)
"""Frames of one call."""

OURS = {count: f"MelKernel, {count} at a time" for count in AT_A_TIME}
NUMPY = {count: f"NumPy, {count} at a time" for count in AT_A_TIME}
NODE = "MelSpectrogram, blocks of 20 ms"
ESSENTIA = "Essentia, streaming"

FRONT_END = FRONT_ENDS["musicnn"]

Mel = NDArray[np.float32]
"""Shape `(frames, n_mels)`."""


@dataclass
class _Bench:
    """The contenders: how each is timed, how many frames that makes, and the frames of the whole
    clip.
    """

    measurements: dict[str, Measurement] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    mels: dict[str, Mel] = field(default_factory=dict)

    def add(self, name: str, measurement: Measurement, frames: int, mel: Mel) -> None:
        self.measurements[name], self.frames[name], self.mels[name] = measurement, frames, mel


def measure(
    cores: str | None = None,
    environment: Path | None = None,
    runs: int = 5,
    run_s: float = 0.2,
    progress: Progress = silent,
) -> Report:
    """Mel frames of the "musicnn" front end, 26 s of music, one thread.

    Errors are the largest difference from the formulas in float64.

    Args:
        cores: Numbers of the cores for all, as in `0,1`; the first, if left out.
        environment: The peers' virtual environment; without one Essentia's row is left out.
        runs: Rounds that count.
        run_s: Seconds that a contender takes in a round, about.
        progress: Called with a line that says how far it is.
    """
    numbers = parse_cores(cores)
    report = Report(
        "mel",
        "Mel frames of music, one thread; the samples are in memory",
        {"front_end": FRONT_END.name, "cores": list(numbers), "runs": runs},
    )
    bench = _Bench()
    with ExitStack() as stack:
        stack.enter_context(pinned(numbers))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auricle-bench-")))
        file = stack.enter_context(clip(None, 26.0))
        samples = decode(file)
        padded = np.pad(samples, FRONT_END.padding)
        exact = _exact(padded)
        _add_kernel(bench, padded, len(exact), run_s)
        bench.add(
            NODE,
            lambda: _through_the_node(samples),
            len(exact),
            mel_spectrogram(samples, FRONT_END),
        )
        # A process of its own, in which BLAS has one thread: two on one core wait for each other.
        np.save(scratch / "samples.npy", padded)
        np.save(scratch / "bank.npy", np.ascontiguousarray(filter_bank(FRONT_END).T, np.float32))
        settings = {name: str(scratch / f"{name}.npy") for name in ("samples", "bank")}
        script = CONTENDERS / "numpy_mel.py"
        numpy_worker = stack.enter_context(
            Worker("NumPy", Path(sys.executable), script, settings, threads=1)
        )
        _add_numpy(bench, numpy_worker, scratch, run_s)
        try:
            python = peers_python(environment)
            script = CONTENDERS / "essentia_mel.py"
            essentia = stack.enter_context(
                Worker("Essentia", python, script, {"file": str(file)}, threads=1)
            )
        except ConfigError as error:
            report.notes.append(f"without Essentia: {error}")
        else:
            report.versions |= essentia.versions
            _add_essentia(bench, essentia, scratch)
            report.notes.append(
                "Essentia's time is that of loader and mel frames, less that of the loader"
            )
        measured = alternate(bench.measurements, runs, progress=progress)
    seconds = {
        name: [each / bench.frames[name] for each in spent] for name, spent in measured.items()
    }
    _fill(report, seconds, bench.mels, exact)
    return report


def _fill(
    report: Report,
    seconds: dict[str, list[float]],
    mels: dict[str, Mel],
    exact: NDArray[np.float64],
) -> None:
    """Rows and targets; `seconds` are those of one frame."""
    report.reference = ESSENTIA if ESSENTIA in seconds else NUMPY[AT_A_TIME[-1]]
    for name, each in seconds.items():
        report.row(
            name,
            {
                "us a frame": Spread.of(each).scaled(1e6),
                "reference's time / its": ratios(seconds[report.reference], each),
                "error": _difference(mels[name], exact),
            },
        )
    theirs = seconds.get(ESSENTIA)
    for count, name in OURS.items():
        ratio = ratios(theirs, seconds[name]) if theirs else None
        report.target(f"Essentia's time / that of frames {count} at a time", ratio, at_least=5)
    ours = mels[OURS[1]]
    worst = max(_difference(mels[name], ours) for name in (*OURS.values(), NODE))
    report.target("difference between calls of any length", worst, at_most=0, correctness=True)
    apart = _difference(mels[ESSENTIA], ours) if theirs else None
    report.target("difference from Essentia", apart, at_most=3e-4, correctness=True)


def _difference(mel: Mel, other: NDArray[np.floating]) -> float:
    """Largest difference in the frames that both have: they may differ in the last ones."""
    common = min(len(mel), len(other))
    return float(np.abs(mel[:common] - other[:common]).max())


def _exact(padded: NDArray[np.float32]) -> NDArray[np.float64]:
    """The formulas in float64, shape `(frames, n_mels)`, for all whole frames of `padded`."""
    frames = np.lib.stride_tricks.sliding_window_view(
        padded.astype(np.float64), FRONT_END.frame_size
    )
    power = np.abs(np.fft.rfft(frames[:: FRONT_END.hop_size] * window(FRONT_END))) ** 2
    return np.asarray(np.log10(1 + FRONT_END.gain * (power @ filter_bank(FRONT_END).T)))


def _add_kernel(bench: _Bench, padded: NDArray[np.float32], frames: int, run_s: float) -> None:
    kernel, hop = MelKernel(FRONT_END), FRONT_END.hop_size
    for count, name in OURS.items():
        mel = np.empty((frames, FRONT_END.n_mels), np.float32)
        for first in range(0, frames, count):
            rows = mel[first : first + count]
            kernel(padded[first * hop :][: FRONT_END.n_samples(len(rows))], rows)
        part, out = (
            padded[: FRONT_END.n_samples(count)],
            np.empty((count, FRONT_END.n_mels), np.float32),
        )

        def call(part: NDArray[np.float32] = part, out: Mel = out) -> None:
            kernel(part, out)

        bench.add(name, timed(call, calls_for(call, run_s)), count, mel)


def _through_the_node(samples: NDArray[np.float32]) -> float:
    """Seconds in the node alone, rings and marks included, when 20 ms come at a time."""
    source = Replay("audio", samples, (), Fraction(SAMPLE_RATE), block=SAMPLE_RATE // 50)
    run = run_through([source, MelSpectrogram("mel")], [("audio", "mel")])
    return run.spent_ns["mel"] / 1e9


def _add_numpy(bench: _Bench, worker: Worker, scratch: Path, run_s: float) -> None:
    output = str(scratch / "numpy.npy")
    for count, name in NUMPY.items():
        worker.ask(at_a_time=count, calls=0, output=output)
        mel = np.load(output)

        def call(calls: int, count: int = count) -> float:
            return float(worker.ask(at_a_time=count, calls=calls)["seconds"])

        calls = max(1, round(run_s / call(10)))
        bench.add(name, lambda calls=calls, call=call: call(calls), count, mel)  # type: ignore[misc]


def _add_essentia(bench: _Bench, worker: Worker, scratch: Path) -> None:
    output = str(scratch / "essentia.npy")
    frames = int(worker.ask(output=output)["frames"])
    mel = np.load(output)
    bench.add(ESSENTIA, lambda: float(worker.ask(output=output)["seconds"]), frames, mel)
