"""What an accelerator makes of a transformer: batches of its segments, by provider and patchout
level.
"""

from __future__ import annotations

import functools
import queue
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import AuricleError, ConfigError, ModelError
from auricle.models.card import Card
from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.open_owner import open_runner
from auricle.models.inference.owner import InferenceOwner, Request, Runner, Seat, batch_sizes
from auricle.models.inference.providers import SHORT_NAMES, trouble, usable
from auricle.models.patchout import Kept
from auricle.models.registry import find, info
from bench.audio import SAMPLE_RATE
from bench.measures.backbone import frames_of_music
from bench.report import Figure, Report
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
"""Of embeddings to those of the CPU: TF32 has three digits, half precision too."""

WAIT_S = 0.005
"""For which a segment waits for others, as in the backbone."""

ROUNDS = 4
"""Segments of each stream in a measurement of the owner."""


def check(providers: Sequence[str]) -> None:
    """See whether there is anything to measure.

    Raises:
        ConfigError: None of the providers can run anything here.
    """
    troubles = {name: trouble(SHORT_NAMES.get(name.lower(), name)) for name in providers}
    if all(what is not None for what in troubles.values()):
        why = "; ".join(
            f"{name}: {what or 'not in this ONNX Runtime'}" for name, what in troubles.items()
        )
        raise ConfigError(f"no GPU to measure: {why}")


def measure(
    models: Sequence[str],
    providers: Sequence[str] = ("cuda", "tensorrt", "torch-tensorrt"),
    batches: Sequence[int] = (1, 4, 16, 64),
    levels: Sequence[str] = (),
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Time of whole batches, from frames in memory to outputs in memory, and of segments through an
    owner.

    Args:
        models: Exports of one network by name or folder; the first, on the CPU, is the reference.
        providers: By name. Those that are not here are left out, with a note.
        batches: Segments at once.
        levels: Of the card; all, if empty.
        runs: Rounds that count.
        progress: Called with a line that says how far it is.

    Raises:
        ConfigError: None of the providers is here, or a model has no patches or no such level.
    """
    check(providers)
    cards = {model: info(model) for model in models}
    for card in cards.values():
        if card.patch_grid is None or card.segment_size is None:
            raise ConfigError(f"{card.name}: not a model whose patches can be left out")
    reference = cards[models[0]]
    names = list(levels or (level.name for level in reference.patchout))
    report = Report(
        "gpu",
        "Batches of segments of a transformer on an accelerator",
        {
            "models": [card.name for card in cards.values()],
            "providers": list(providers),
            "batches": list(batches),
            "levels": names,
            "runs": runs,
            "gpu": _gpu(),
        },
        reference=CPU,
    )
    bench = _Bench(report, reference, batches, progress)
    bench.reference(models[0], names)
    for model, card in cards.items():
        for provider in providers:
            bench.provider(provider, model, card, names)
    if not bench.measurements.keys() - bench.baselines.values():
        raise AuricleError(f"nothing could be measured: {'; '.join(report.notes)}")
    bench.finish(runs)
    return report


class _Bench:
    """What is to be measured, and what is known of it.

    Attributes:
        measurements: Seconds of a segment, by row.
        baselines: By level, the row on the CPU.
    """

    def __init__(
        self, report: Report, reference: Card, batches: Sequence[int], progress: Progress
    ) -> None:
        assert reference.segment_size is not None
        self.report = report
        self.batches = sorted(batches)
        self.progress = progress
        self.seconds = reference.segment_size * FRONT_ENDS["musicnn"].hop_size / SAMPLE_RATE
        self.measurements: dict[str, Measurement] = {}
        self.baselines: dict[str, str] = {}
        self.level_of: dict[str, str] = {}
        self.figures: dict[str, dict[str, Figure]] = {}
        self.latencies: dict[str, list[float]] = {}
        self.expected: dict[str, list[NDArray[np.float32]]] = {}
        self.segments = _segments(reference, self.batches[-1])

    def reference(self, model: str, levels: Sequence[str]) -> None:
        """The CPU, a segment at a time."""
        card = info(model)
        runner = open_runner(find(model), ("CPUExecutionProvider",), 1, _outputs(card))
        for level in levels:
            name = f"{CPU}, {card.precision or card.name}, {level}"
            work = functools.partial(runner.run, self.segments[:1], _kept(card, level))
            self.expected[level] = work()
            self._add(name, level, timed(work), card, 1)
            self.baselines[level] = name

    def provider(self, provider: str, model: str, card: Card, levels: Sequence[str]) -> None:
        """All batches of one provider, and the owner with the largest; a note, if it cannot be had."""
        try:
            full = usable(find(model), (provider,))
            runner = open_runner(find(model), full, 1, _outputs(card))
        except (AuricleError, ModelError) as error:
            self.report.notes.append(str(error))
            return
        for level in levels:
            kept = _kept(card, level)
            # The extremes first, as the owner has it: TensorRT compiles anew for a wider range.
            for size in dict.fromkeys((self.batches[0], *reversed(self.batches))):
                name = f"{provider}, {card.precision or card.name}, {level}, batch {size}"
                self.progress(f"warm-up: {name}")
                try:
                    self._batch(name, level, runner, kept, card, size)
                except (
                    Exception
                ) as error:  # no memory for it, as a rule; runtimes' errors have no base
                    self.report.notes.append(f"{name}: {' '.join(str(error).split())}")
        self._owner(
            f"{provider}, {card.precision or card.name}, {levels[0]}", levels[0], runner, card
        )

    def _batch(
        self, name: str, level: str, runner: Runner, kept: Kept | None, card: Card, size: int
    ) -> None:
        runner.prepare(size, kept)
        segments = self.segments[:size]
        found = runner.run(segments, kept)
        cosine = min(
            _cosine(one[0], other[0])
            for one, other in zip(found, self.expected[level], strict=True)
        )
        timed_run = timed(lambda: runner.run(segments, kept))
        self._add(name, level, lambda: timed_run() / size, card, size)
        self.figures[name]["cosine"] = cosine
        self.report.target(
            f"{name}: cosine to the CPU",
            cosine,
            at_least=LEAST_COSINE.get(card.precision or "", 0.999),
            correctness=True,
        )

    def _owner(self, name: str, level: str, runner: Runner, card: Card) -> None:
        """As many streams as keep the largest batches full, each with a segment under way."""
        assert card.segment_size is not None
        shape = (card.segment_size, self.segments.shape[2])
        owner = InferenceOwner(
            runner, shape, batch_sizes(self.batches[-1]), WAIT_S, card.name, _outputs(card)
        )
        kept = _kept(card, level)
        streams = 2 * self.batches[-1]
        name = f"{name}, {streams} streams"
        try:
            owner.warm([kept])
        except ModelError as error:
            self.report.notes.append(str(error))
            return
        latencies = self.latencies[name] = []
        self._add(
            name,
            level,
            lambda: _through(owner, streams, self.segments, kept, latencies),
            card,
            None,
        )

    def _add(
        self, name: str, level: str, measurement: Measurement, card: Card, size: int | None
    ) -> None:
        assert card.patch_grid is not None
        self.measurements[name] = measurement
        self.level_of[name] = level
        self.figures[name] = {
            "tokens": card.patch_grid.tokens(card.level(level)) + 2,
            "batch": size,
        }

    def finish(self, runs: int) -> None:
        """Measure in turn, and fill the report."""
        measured = alternate(self.measurements, runs, progress=self.progress)
        for name, taken in measured.items():
            figures = self.figures[name]
            size = figures.pop("batch")
            row: dict[str, Any] = {
                **figures,
                "ms a batch": Spread.of(taken).scaled(1e3 * size)
                if isinstance(size, int)
                else None,
                "segments/s": Spread.of(taken).inverse(),
                SPEED: Spread.of(taken).inverse(self.seconds),
                "times the CPU": ratios(measured[self.baselines[self.level_of[name]]], taken),
            }
            if found := self.latencies.get(name):
                seen = percentiles(
                    found[len(found) // (runs + 1) :]
                )  # the first round does not count
                row |= {"p50 ms": 1e3 * seen["p50"], "p99 ms": 1e3 * seen["p99"]}
            self.report.row(name, row)


def _through(
    owner: InferenceOwner,
    streams: int,
    segments: NDArray[np.float32],
    kept: Kept | None,
    latencies: list[float],
) -> float:
    """Seconds a segment of some streams that each ask for the next when they have the last."""
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    seats: list[Seat] = [owner.join(functools.partial(done.put, n)) for n in range(streams)]
    began = time.perf_counter()
    requests: list[Request] = [
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
    """Name and driver of NVIDIA's, as its own tool has them."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _segments(card: Card, count: int) -> NDArray[np.float32]:
    """Scaled segments of music a second apart, (count, segment_size, bands)."""
    assert card.segment_size is not None
    assert card.front_end is not None
    hop = round(FRONT_ENDS[card.front_end.name].rate)
    mel = frames_of_music(card.segment_size + hop * (count - 1), card.front_end.name)
    scaled = (mel - np.float32(card.front_end.mean)) / np.float32(card.front_end.std)
    return np.stack([scaled[n * hop : n * hop + card.segment_size] for n in range(count)])


def _outputs(card: Card) -> list[str]:
    return [output.name for output in card.io.outputs]


def _kept(card: Card, level: str) -> Kept:
    assert card.patch_grid is not None
    try:
        return card.patch_grid.kept(card.level(level))
    except ModelError as error:
        raise ConfigError(str(error)) from error


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
