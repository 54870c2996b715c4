"""Mel frames: the kernel and the node against NumPy and against Essentia's streaming front end."""

from __future__ import annotations

import functools
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
from bench.segments import Frames
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

CLIP_S = 26.0


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
        runs: Number of measured rounds.
        run_s: Seconds that a contender takes in a round, about.
        progress: Function to call with a line of progress.
    """
    numbers = parse_cores(cores)
    report = Report(
        "mel",
        "Mel frames of music, one thread; the samples are in memory",
        {"front_end": FRONT_END.name, "cores": list(numbers), "runs": runs},
    )
    with ExitStack() as stack:
        stack.enter_context(pinned(numbers))
        file = stack.enter_context(clip(None, CLIP_S))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="auricle-bench-")))
        contenders = _Contenders(decode(file), scratch, run_s)
        contenders.add_kernel()
        contenders.add_node()
        contenders.add_numpy(stack)
        _add_essentia(contenders, stack, file, environment, report)
        measured = alternate(contenders.measurements, runs, progress=progress)
    _fill(report, contenders, measured)
    return report


@dataclass
class _Contenders:
    """Whatever makes mel frames of the same samples.

    Attributes:
        samples: The clip, shape `(samples,)`.
        scratch: Folder for what is exchanged with other processes.
        run_s: Seconds that a contender takes in a round, about.
        measurements: Measurements by the contender's name.
        frames: Frames that are made in that time, by name.
        mels: Frames of the whole clip, by name.
    """

    samples: NDArray[np.float32]
    scratch: Path
    run_s: float
    measurements: dict[str, Measurement] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    mels: dict[str, Frames] = field(default_factory=dict)

    @functools.cached_property
    def padded(self) -> NDArray[np.float32]:
        """The samples with the padding at both ends that centres the frames."""
        return np.pad(self.samples, FRONT_END.padding)

    @functools.cached_property
    def exact(self) -> NDArray[np.float64]:
        """The formulas in float64, shape `(frames, n_mels)`, for all whole frames."""
        frames = np.lib.stride_tricks.sliding_window_view(
            self.padded.astype(np.float64), FRONT_END.frame_size
        )
        power = np.abs(np.fft.rfft(frames[:: FRONT_END.hop_size] * window(FRONT_END))) ** 2
        return np.asarray(np.log10(1 + FRONT_END.gain * (power @ filter_bank(FRONT_END).T)))

    def add(self, name: str, measurement: Measurement, frames: int, mel: Frames) -> None:
        """Add a contender: how it is timed, frames of that time, frames of the whole clip."""
        self.measurements[name], self.frames[name], self.mels[name] = measurement, frames, mel

    def add_kernel(self) -> None:
        """The kernel, by the number of frames of a call."""
        kernel, hop = MelKernel(FRONT_END), FRONT_END.hop_size
        for count, name in OURS.items():
            mel = np.empty((len(self.exact), FRONT_END.n_mels), np.float32)
            for first in range(0, len(mel), count):
                rows = mel[first : first + count]
                kernel(self.padded[first * hop :][: FRONT_END.n_samples(len(rows))], rows)
            out = np.empty((count, FRONT_END.n_mels), np.float32)
            call = functools.partial(kernel, self.padded[: FRONT_END.n_samples(count)], out)
            self.add(name, timed(call, calls_for(call, self.run_s)), count, mel)

    def add_node(self) -> None:
        """The node in a graph."""
        measurement = functools.partial(_through_the_node, self.samples)
        self.add(NODE, measurement, len(self.exact), mel_spectrogram(self.samples, FRONT_END))

    def add_numpy(self, stack: ExitStack) -> None:
        """NumPy, by the number of frames of a call, in a process where BLAS has one thread.

        Two threads on one core would wait for each other.
        """
        settings = {name: str(self.scratch / f"{name}.npy") for name in ("samples", "bank")}
        np.save(settings["samples"], self.padded)
        np.save(settings["bank"], np.ascontiguousarray(filter_bank(FRONT_END).T, np.float32))
        script = CONTENDERS / "numpy_mel.py"
        worker = Worker("NumPy", Path(sys.executable), script, settings, threads=1)
        stack.enter_context(worker)
        output = str(self.scratch / "numpy.npy")
        for count, name in NUMPY.items():
            worker.ask(at_a_time=count, calls=0, output=output)
            request = functools.partial(_seconds, worker, at_a_time=count)
            calls = max(1, round(self.run_s / request(calls=10)))
            self.add(name, functools.partial(request, calls=calls), count, np.load(output))

    def add_essentia(self, worker: Worker) -> None:
        """Essentia's streaming front end."""
        output = str(self.scratch / "essentia.npy")
        frames = int(worker.ask(output=output)["frames"])
        mel = np.load(output)
        self.add(ESSENTIA, functools.partial(_seconds, worker, output=output), frames, mel)


def _add_essentia(
    contenders: _Contenders,
    stack: ExitStack,
    file: Path,
    environment: Path | None,
    report: Report,
) -> None:
    """Essentia, where it is installed; a note in the report."""
    script = CONTENDERS / "essentia_mel.py"
    try:
        python = peers_python(environment)
        worker = Worker("Essentia", python, script, {"file": str(file)}, threads=1)
    except ConfigError as error:
        report.notes.append(f"without Essentia: {error}")
        return
    stack.enter_context(worker)
    report.versions |= worker.versions
    contenders.add_essentia(worker)
    report.notes.append("Essentia's time is that of loader and mel frames, less the loader's")


def _seconds(worker: Worker, **request: object) -> float:
    return float(worker.ask(**request)["seconds"])


def _through_the_node(samples: NDArray[np.float32]) -> float:
    """Seconds in the node alone, rings and marks included, when 20 ms come at a time."""
    source = Replay("audio", samples, (), Fraction(SAMPLE_RATE), block=SAMPLE_RATE // 50)
    run = run_through([source, MelSpectrogram("mel")], [("audio", "mel")])
    return run.spent_ns["mel"] / 1e9


def _fill(report: Report, contenders: _Contenders, measured: dict[str, list[float]]) -> None:
    """Rows and targets; `measured` are seconds of the calls that are timed."""
    seconds = {}
    for name, spent in measured.items():
        seconds[name] = [each / contenders.frames[name] for each in spent]
    report.reference = ESSENTIA if ESSENTIA in seconds else NUMPY[AT_A_TIME[-1]]
    for name, each in seconds.items():
        report.row(
            name,
            {
                "us a frame": Spread.of(each).scaled(1e6),
                "reference's time / its": ratios(seconds[report.reference], each),
                "error": _difference(contenders.mels[name], contenders.exact),
            },
        )
    _add_targets(report, contenders, seconds)


def _add_targets(report: Report, contenders: _Contenders, seconds: dict[str, list[float]]) -> None:
    theirs, mels = seconds.get(ESSENTIA), contenders.mels
    for count, name in OURS.items():
        ratio = ratios(theirs, seconds[name]) if theirs else None
        report.target(f"Essentia's time / that of frames {count} at a time", ratio, at_least=5)
    ours = mels[OURS[1]]
    worst = max(_difference(mels[name], ours) for name in (*OURS.values(), NODE))
    report.target("difference between calls of any length", worst, at_most=0, correctness=True)
    apart = _difference(mels[ESSENTIA], ours) if theirs else None
    report.target("difference from Essentia", apart, at_most=3e-4, correctness=True)


def _difference(mel: Frames, other: NDArray[np.floating]) -> float:
    """Largest difference in the frames that both have: their numbers may differ at the end."""
    common = min(len(mel), len(other))
    return float(np.abs(mel[:common] - other[:common]).max())
