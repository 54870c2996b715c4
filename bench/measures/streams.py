"""How many streams in real time one machine holds, and what a stream costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.models.registry import info
from bench.fleet import fleet
from bench.report import Report
from bench.timing import Progress, silent

MODEL = "musicnn-mtt"
"""By default. Its report is called `streams`; other models' have the model behind it."""

PARTS = (0.4, 0.8, 0.85, 0.9)
"""Of the streams that the raw inference rate allows."""

WARM_UPS = 4
"""Times of two hops that streams are given to come to rung 0 before it counts."""

LATE_PERCENT = 0.1
"""Most windows that may be late."""


def measure(
    model: str = MODEL,
    hop_size: int | None = None,
    streams: Sequence[int] = (),
    seconds: float = 20.0,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """Streams, each a file played in real time, more and more of them in one engine.

    A window is late if its prediction is published more than a hop after its last sample, or never.
    What is held is the largest number that, like all below it, has few enough of them in the median
    of the runs.

    Args:
        model, hop_size: As for a backbone.
        streams: Numbers to try; `PARTS` of what the raw inference rate allows, if left out.
        seconds: Measured at each number, after two hops or more.
        runs: Passes over all numbers.
        progress: Called with a line that says how far it is.
    """
    card = info(model)
    assert card.front_end is not None
    hop = hop_size or card.segment_hop_size or 1
    hop_s = hop * card.front_end.hop_size / card.front_end.sample_rate
    report = Report(
        "streams" if card.name == MODEL else f"streams-{card.name}",
        "Streams in real time in one engine",
        {"model": card.name, "hop_frames": hop, "seconds": seconds, "runs": runs},
    )
    memory: list[tuple[int, float]] = []
    found_by_step: dict[int, list[tuple[float, float]]] = {}
    for run in range(runs):
        with fleet(model, hop_size) as engine:
            progress("raw inference")
            before = engine.raw() * hop_s
            numbers = sorted(streams) or [max(1, round(part * before)) for part in PARTS]
            if not memory:
                progress("memory")
                for n in np.linspace(1, numbers[0], 5):
                    memory.append((round(n), engine.rss_mb(round(n), 2 * hop_s)))
                engine.shrink(0)
            for step, number in enumerate(numbers):
                progress(f"run {run + 1} of {runs}: {number} streams")
                engine.grow(number)
                for _ in range(WARM_UPS):
                    if not engine.measure(2 * hop_s)["looks"][-1]["rung"]:
                        break  # what adding them took from the others is made good
                found = engine.measure(seconds)
                engine.shrink(0)
                # Right before and right after: the machine is another's too, and slower at times.
                after = engine.raw() * hop_s
                raw, before = (before + after) / 2, after
                offered = sum(each["offered"] for each in found["streams"].values())
                missing = sum(each["hop"] + each["overload"] for each in found["streams"].values())
                late = 100 * (found["late"] + missing) / max(1, offered)
                found_by_step.setdefault(step, []).append((number / raw, late))
                name = f"{number} streams" if runs == 1 else f"{number} streams, run {run + 1}"
                report.row(
                    name,
                    {
                        "raw": raw,
                        "of raw": number / raw,
                        "windows": offered,
                        "late %": late,
                        "p50 ms": 1000 * found["latency"]["p50"],
                        "p99 ms": 1000 * found["latency"]["p99"],
                        "max ms": 1000 * found["latency"]["max"],
                        "cores": found["cpu"],
                        "rss MB": found["looks"][-1]["rss_mb"],
                    },
                )
    held = 0.0
    for tried in found_by_step.values():
        part, late = np.median(tried, axis=0)
        if late >= LATE_PERCENT:
            break
        held = float(part)
    report.notes.append(
        "raw: streams that the model's sessions alone would do, before and after each row"
    )
    report.target(f"streams with under {LATE_PERCENT} % late windows, of raw", held, at_least=0.85)
    if len({number for number, _ in memory}) > 1:
        numbers_of, megabytes = np.array(memory).T
        per_stream = float(np.polyfit(numbers_of, megabytes, 1)[0])
        report.target("a stream more, MB", per_stream, at_most=3)
    return report
