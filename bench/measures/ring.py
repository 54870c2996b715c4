"""The ring against what one writes first: `np.roll` of an array that holds the window."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.engine.clock import SourceClock
from auricle.engine.reader import Reader
from auricle.engine.ring import Ring
from auricle.engine.stream import Stream, TokenType
from bench.report import Report
from bench.timing import Progress, Spread, alternate, calls_for, ratios, silent, timed

SAMPLE_RATE = 16000
BLOCK = 320
"""Samples of a block: 20 ms."""

ROLLED = "np.roll"


class _Contender(Protocol):
    """A store of the last window of samples."""

    def step(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take a block of `BLOCK` samples, (BLOCK,) float32.

        Returns:
            The window of samples that ends with it, valid until the next step.
        """


class _Rolled:
    """The reference: shift everything, put the block at the end."""

    def __init__(self, window: int) -> None:
        self.held = np.zeros(window, np.float32)

    def step(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        self.held = np.roll(self.held, -len(block))
        self.held[-len(block) :] = block
        return self.held


class _Bare:
    """`Ring` alone, without readers, marks and times."""

    def __init__(self, window: int) -> None:
        self.ring = Ring(window + BLOCK, (), np.dtype(np.float32))
        self.window = window
        self.written = 0

    def step(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        self.ring.window(self.written, len(block))[:] = block
        self.ring.mirror(self.written, len(block))
        self.written += len(block)
        view: NDArray[np.float32] = self.ring.window(self.written - self.window, self.window)
        return view


class _Streamed:
    """A stream with one reader, as between two nodes."""

    def __init__(self, window: int) -> None:
        token_type = TokenType(np.dtype(np.float32), (), Fraction(SAMPLE_RATE))
        self.stream = Stream("bench.audio", token_type, window + BLOCK, SourceClock())
        self.reader = Reader(self.stream, window, BLOCK, before=window - BLOCK)

    def step(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        self.stream.write(block)
        view: NDArray[np.float32] = self.reader.view()
        # The view stays valid until the next block is written.
        self.reader.release()
        return view


def measure(
    window_s: float = 30.0, runs: int = 5, run_s: float = 0.5, progress: Progress = silent
) -> Report:
    """Write blocks of 20 ms, and look at a window of `window_s` seconds after each.

    Args:
        window_s: Length of the window.
        runs: Number of measured rounds.
        run_s: Seconds that a contender takes in a round, about.
        progress: Function to call with a line of progress.
    """
    window = round(window_s * SAMPLE_RATE)
    report = Report(
        "ring",
        "Writing a block of 20 ms, then reading the window that ends with it",
        {"window_s": window_s, "block": BLOCK, "sample_rate": SAMPLE_RATE, "runs": runs},
        reference=ROLLED,
    )
    measured = _measured(window, runs, run_s, progress)
    for name, error in _errors(window).items():
        report.row(
            name,
            {
                "us a block": Spread.of(measured[name]).scaled(1e6),
                "np.roll's time / its": ratios(measured[ROLLED], measured[name]),
                "error": error,
            },
        )
        if name != ROLLED:
            what = f"{name}: difference of its windows"
            report.target(what, error, at_most=0, correctness=True)
    return report


def _measured(window: int, runs: int, run_s: float, progress: Progress) -> dict[str, list[float]]:
    """Seconds of a step, by the contender."""
    measurements = {}
    for name, contender in _contenders(window).items():
        work = _stepping(contender)
        measurements[name] = timed(work, calls_for(work, run_s))
    return alternate(measurements, runs, progress=progress)


def _contenders(window: int) -> dict[str, _Contender]:
    return {ROLLED: _Rolled(window), "Ring": _Bare(window), "Stream": _Streamed(window)}


def _stepping(contender: _Contender) -> Callable[[], object]:
    block = np.ones(BLOCK, np.float32)
    return lambda: contender.step(block)


def _errors(window: int) -> dict[str, float]:
    """Largest difference of each contender's windows from `np.roll`'s, over two turns of a ring."""
    reference = _Rolled(window)
    others = _contenders(window)
    errors = dict.fromkeys(others, 0.0)
    rng = np.random.default_rng(0)
    for _ in range(2 * (window // BLOCK + 1) + 1):
        block = rng.standard_normal(BLOCK).astype(np.float32)
        expected = reference.step(block)
        for name, each in others.items():
            errors[name] = max(errors[name], float(np.abs(each.step(block) - expected).max()))
    return errors
