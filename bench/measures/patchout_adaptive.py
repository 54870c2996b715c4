"""A stream in real time whose patchout level adapts while another process takes its core."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from auricle.service.service import Service
from bench.measures.patchout_live import engine, played
from bench.report import Report
from bench.segments import Segments

CALM_LOAD = 0.7
"""Part of a core that the stream takes with all patches, while it has the core alone."""

LOOK_S = 0.5
"""Seconds between two looks at the rung."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Seconds that the stream has the core alone, with another process on it, and alone again."""

    calm_s: float = 20.0
    busy_s: float = 60.0
    recovery_s: float = 90.0


Opened = AbstractContextManager[tuple[Any, Any]]
"""A service and the backbone of its stream."""


def burn() -> subprocess.Popen[bytes]:
    """A process that takes all of the core that it inherits."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def measure(
    report: Report,
    model: str,
    full_s: float,
    phases: Phases = Phases(),
    open_engine: Callable[[str, Mapping[str, Any], float], Opened] = engine,
    burn: Callable[[], subprocess.Popen[bytes]] = burn,
) -> None:
    """One stream that takes most of one core, and a second process on it for a while.

    Args:
        report: Report that the row and the targets are added to.
        model: The model.
        full_s: Seconds that a segment takes with all patches.
        phases: Times with and without the second process.
        open_engine: Opens the engine.
        burn: Starts the second process.
    """
    segments = Segments.of(model)
    grid = segments.card.patch_grid
    assert grid is not None
    frames = full_s / CALM_LOAD * segments.front_end.rate
    hop = grid.stride * max(1, round(frames / grid.stride))
    seconds = phases.calm_s + phases.busy_s + phases.recovery_s
    opened = open_engine(model, {"hop_size": hop, "adaptive": True}, seconds)
    with opened as (service, node):
        looks = _looks(service, segments.seconds, phases, burn)
    found = played(node)
    name = f"live: {segments.card.precision}, adaptive, every {hop} frames"
    name = f"{name}, a second process for {phases.busy_s:.0f} s"
    report.row(name, {"predictions": found.served, "left out": found.left_out})
    report.target(f"{name}: segments left out", found.left_out, at_most=0)
    cheapest = len(segments.card.patchout) - 1
    highest = max(rung for _, rung in looks)
    what = f"{name}: levels down, of {cheapest}"
    report.target(what, highest, at_least=1, at_most=cheapest)
    report.target(f"{name}: level at the end", looks[-1][1], at_most=0)
    report.series["adaptive: seconds"] = [at_s for at_s, _ in looks]
    report.series["adaptive: rung"] = [float(rung) for _, rung in looks]


def _looks(
    service: Service,
    segment_s: float,
    phases: Phases,
    burn: Callable[[], subprocess.Popen[bytes]],
) -> list[tuple[float, int]]:
    """Seconds since the end of the first segment, and the rung, until the stream ends."""
    looks: list[tuple[float, int]] = []
    began = time.monotonic() + segment_s
    busy: subprocess.Popen[bytes] | None = None
    try:
        while not service.wait(LOOK_S):
            at_s = time.monotonic() - began
            looks.append((at_s, service.ladder.rung))
            if busy is None and at_s > phases.calm_s:
                busy = burn()  # on the same core
            if busy is not None and at_s > phases.calm_s + phases.busy_s:
                busy.kill()
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()
    return looks
