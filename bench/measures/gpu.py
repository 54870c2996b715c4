"""A transformer on an accelerator: batches of segments, by provider and patchout level."""

from __future__ import annotations

import functools
import queue
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auricle.errors import AuricleError, ConfigError, ModelError, one_line
from auricle.models.card import Card
from auricle.models.inference.batches import open_runner
from auricle.models.inference.owner import InferenceOwner, PendingSegment, Runner, Seat, batch_sizes
from auricle.models.inference.providers import full_name, unusable_reason, usable
from auricle.models.patchout import Kept
from auricle.models.registry import find, info
from bench.report import Figure, Report
from bench.segments import Segments, check_patches, cosine
from bench.timing import (
    Measurement,
    Progress,
    Spread,
    alternate,
    percentiles,
    ratios,
    silent,
    timed,
)

CPU = "cpu, one thread"
SPEED = "x real time"

LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999}
"""Cosine of embeddings to the CPU's: TF32 has three digits, half precision too."""

WAIT_S = 0.005
"""Seconds for which a segment waits for others, as in the backbone."""

ROUNDS = 4
"""Segments of each stream in a measurement of the owner."""


def check(providers: Sequence[str]) -> None:
    """See whether there is anything to measure.

    Raises:
        ConfigError: None of the providers can run anything here.
    """
    troubles = {name: unusable_reason(full_name(name)) for name in providers}
    if all(what is not None for what in troubles.values()):
        why = [f"{name}: {what or 'not in this ONNX Runtime'}" for name, what in troubles.items()]
        raise ConfigError(f"no GPU to measure: {'; '.join(why)}")


def measure(
    models: Sequence[str],
    providers: Sequence[str] = ("cuda", "tensorrt", "torch-tensorrt"),
    batches: Sequence[int] = (1, 4, 16, 64),
    levels: Sequence[str] = (),
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Time of whole batches, from frames in memory to outputs in memory, and through an owner.

    Args:
        models: Exports of one network by name or folder; the first, on the CPU, is the reference.
        providers: Providers by name. Those that are not here are left out, with a note.
        batches: Numbers of segments per batch.
        levels: Patchout levels of the card; all, if empty.
        runs: Number of measured rounds.
        progress: Function to call with a line of progress.

    Raises:
        ConfigError: None of the providers is here, or a model has no patches or no such level.
    """
    check(providers)
    cards = [info(model) for model in models]
    for card in cards:
        check_patches(card)
    names = list(levels or (level.name for level in cards[0].patchout))
    report = Report(
        "gpu",
        "Batches of segments of a transformer on an accelerator",
        {
            "models": [card.name for card in cards],
            "providers": list(providers),
            "batches": list(batches),
            "levels": names,
            "runs": runs,
            "gpu": _gpu(),
        },
        reference=CPU,
    )
    contenders = _Contenders(report, models[0], names, batches, progress)
    for model in models:
        for provider in providers:
            contenders.add(provider, model)
    if not contenders.any:
        raise AuricleError(f"nothing could be measured: {'; '.join(report.notes)}")
    contenders.measure(runs)
    return report


@dataclass
class _Row:
    """A row to be measured.

    Attributes:
        level: Patchout level.
        measurement: Seconds of a segment.
        tokens: Tokens of a segment.
        batch: Segments per batch; None if the owner decides.
        cosine: Cosine of the embeddings to the CPU's; None if nothing is compared.
        latencies: Seconds that segments took, if they are measured one by one.
    """

    level: str
    measurement: Measurement
    tokens: int
    batch: int | None = None
    cosine: float | None = None
    latencies: list[float] = field(default_factory=list)

    def figures(
        self, taken: Sequence[float], reference: Sequence[float], audio_s: float
    ) -> dict[str, Figure]:
        """Columns, of the seconds of a segment here and on the CPU."""
        spread = Spread.of(taken)
        figures: dict[str, Figure] = {"tokens": self.tokens}
        if self.cosine is not None:
            figures["cosine"] = self.cosine
        figures |= {
            "ms a batch": None if self.batch is None else spread.scaled(1e3 * self.batch),
            "segments/s": spread.inverse(),
            SPEED: spread.inverse(audio_s),
            "times the CPU": ratios(reference, taken),
        }
        if self.latencies:
            # The first round does not count.
            seen = percentiles(self.latencies[len(self.latencies) // (len(taken) + 1) :])
            figures |= {"p50 ms": 1e3 * seen["p50"], "p99 ms": 1e3 * seen["p99"]}
        return figures


class _Contenders:
    """Rows to be measured, and what their outputs are compared with.

    Args:
        report: Report that rows, targets and notes are added to.
        reference: The model that runs on the CPU, a segment at a time.
        levels: Patchout levels.
        batches: Numbers of segments per batch.
        progress: Function to call with a line of progress.
    """

    def __init__(
        self,
        report: Report,
        reference: str,
        levels: Sequence[str],
        batches: Sequence[int],
        progress: Progress,
    ) -> None:
        self._report, self._progress = report, progress
        self._levels, self._batches = levels, sorted(batches)
        self._audio_s = Segments.of(reference).seconds
        self._segments = _segments(reference, self._batches[-1])
        self._rows: dict[str, _Row] = {}
        self._baselines: dict[str, str] = {}
        self._expected: dict[str, list[NDArray[np.float32]]] = {}
        self._add_reference(reference)

    @property
    def any(self) -> bool:
        """Whether there is more than the reference."""
        return len(self._rows) > len(self._baselines)

    def _add_reference(self, model: str) -> None:
        card = info(model)
        runner = open_runner(find(model), ("CPUExecutionProvider",), 1, _outputs(card))
        for level in self._levels:
            name = f"{CPU}, {_kind(card)}, {level}"
            work = functools.partial(runner.run, self._segments[:1], _kept(card, level))
            self._expected[level] = work()
            self._rows[name] = _Row(level, timed(work), _tokens(card, level), 1)
            self._baselines[level] = name

    def add(self, provider: str, model: str) -> None:
        """All batches of one provider, and the owner with the largest; or a note why not."""
        card = info(model)
        try:
            full = usable(find(model), (provider,))
            runner = open_runner(find(model), full, 1, _outputs(card))
        except (AuricleError, ModelError) as error:
            self._report.notes.append(str(error))
            return
        for level in self._levels:
            # The extremes first, as the owner has it: TensorRT compiles again for a wider range.
            for size in dict.fromkeys((self._batches[0], *reversed(self._batches))):
                name = f"{provider}, {_kind(card)}, {level}, batch {size}"
                self._progress(f"warm-up: {name}")
                try:
                    self._add_batch(name, level, runner, card, size)
                except Exception as error:  # too little memory, mostly; errors have no common base
                    self._report.notes.append(f"{name}: {one_line(error)}")
        name = f"{provider}, {_kind(card)}, {self._levels[0]}"
        self._add_owner(name, self._levels[0], runner, card)

    def _add_batch(self, name: str, level: str, runner: Runner, card: Card, size: int) -> None:
        kept = _kept(card, level)
        runner.prepare(size, kept)
        work = functools.partial(runner.run, self._segments[:size], kept)
        outputs = zip(work(), self._expected[level], strict=True)
        closest = min(cosine(found[0], expected[0]) for found, expected in outputs)
        whole = timed(work)
        tokens = _tokens(card, level)
        self._rows[name] = _Row(level, lambda: whole() / size, tokens, size, closest)
        least = LEAST_COSINE.get(card.precision or "", 0.999)
        what = f"{name}: cosine to the CPU"
        self._report.target(what, closest, at_least=least, correctness=True)

    def _add_owner(self, name: str, level: str, runner: Runner, card: Card) -> None:
        """As many streams as keep the largest batches full, each with a segment under way."""
        sizes = batch_sizes(self._batches[-1])
        shape = self._segments.shape[1:]
        owner = InferenceOwner(runner, shape, sizes, WAIT_S, card.name, _outputs(card))
        kept = _kept(card, level)
        try:
            owner.warm([kept])
        except ModelError as error:
            self._report.notes.append(str(error))
            return
        streams = 2 * self._batches[-1]
        latencies: list[float] = []
        self._rows[f"{name}, {streams} streams"] = _Row(
            level,
            lambda: through(owner, streams, self._segments, kept, latencies),
            _tokens(card, level),
            latencies=latencies,
        )

    def measure(self, runs: int) -> None:
        """Measure in turn, and fill the report."""
        measurements = {name: row.measurement for name, row in self._rows.items()}
        taken = alternate(measurements, runs, progress=self._progress)
        for name, row in self._rows.items():
            reference = taken[self._baselines[row.level]]
            self._report.row(name, row.figures(taken[name], reference, self._audio_s))


def through(
    owner: InferenceOwner,
    streams: int,
    segments: NDArray[np.float32],
    kept: Kept | None,
    latencies: list[float],
) -> float:
    """Seconds a segment of streams that each ask for the next as soon as they have the last.

    Args:
        owner: The owner of the session.
        streams: Number of streams.
        segments: Segments to ask for, shape `(count, segment_size, n_mels)`.
        kept: Patches that are kept.
        latencies: Is given the seconds that each segment took.
    """
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    seats: list[Seat] = [owner.join(functools.partial(done.put, n)) for n in range(streams)]
    began = time.perf_counter()
    requests: list[PendingSegment] = [
        seat.ask(segments[n % len(segments)], kept) for n, seat in enumerate(seats)
    ]
    for count in range(ROUNDS * streams):
        n = done.get()
        request = requests[n]
        if request.error is not None:
            raise AuricleError(request.error)
        latencies.append((time.monotonic_ns() - request.asked_ns) / 1e9)
        if count < (ROUNDS - 1) * streams:
            requests[n] = seats[n].ask(segments[n % len(segments)], kept)
    taken = time.perf_counter() - began
    for seat in seats:
        seat.leave()
    return taken / (ROUNDS * streams)


def _gpu() -> str | None:
    """Name and driver of an NVIDIA GPU, as its own tool shows them."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _segments(model: str, count: int) -> NDArray[np.float32]:
    """Normalised segments of music a second apart, shape `(count, segment_size, n_mels)`."""
    hop = round(Segments.of(model).front_end.rate)
    segments = Segments.of(model, hop)
    frames = segments.normalised(segments.music(count))
    return np.stack([frames[n * hop : n * hop + segments.size] for n in range(count)])


def _kind(card: Card) -> str:
    return card.precision or card.name


def _outputs(card: Card) -> list[str]:
    return [output.name for output in card.io.outputs]


def _tokens(card: Card, level: str) -> int:
    assert card.patch_grid is not None
    return card.patch_grid.tokens(card.level(level)) + 2


def _kept(card: Card, level: str) -> Kept:
    assert card.patch_grid is not None
    try:
        return card.patch_grid.kept(card.level(level))
    except ModelError as error:
        raise ConfigError(str(error)) from error
