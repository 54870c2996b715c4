"""How many streams in real time one machine holds, and what a stream costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.fleet import fleet
from bench.report import Report
from bench.timing import Tell, silent
from models.registry import info

PARTS = (0.25, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Of the streams that the raw inference rate allows."""

LATE_PERCENT = 0.1
"""Most windows that may be late."""


def measure(
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    streams: Sequence[int] = (),
    seconds: float = 30.0,
    runs: int = 1,
    tell: Tell = silent,
) -> Report:
    """Streams, each a file played in real time, more and more of them in one engine.

    A window is late if its prediction is published more than a hop after its last sample, or never.

    Args:
        model, hop_size: As for a backbone.
        streams: Numbers to try; `PARTS` of what the raw inference rate allows, if left out.
        seconds: Measured at each number, after as many as two hops.
        runs: Passes over all numbers; the worst counts.
        tell: Hears how far it is.
    """
    card = info(model)
    assert card.front_end is not None
    hop = hop_size or card.segment_hop_size or 1
    hop_s = hop * card.front_end.hop_size / card.front_end.sample_rate
    report = Report(
        "streams",
        "Streams in real time in one engine",
        {"model": card.name, "hop_frames": hop, "seconds": seconds, "runs": runs},
    )
    memory: list[tuple[int, float]] = []
    held, raw_rates = 0, []
    for run in range(runs):
        with fleet(model, hop_size) as engine:
            tell("raw inference")
            raw_rates.append(engine.raw())
            raw = raw_rates[0] * hop_s
            numbers = sorted(streams) or [max(1, round(part * raw)) for part in PARTS]
            for number in numbers:
                tell(f"run {run + 1} of {runs}: {number} streams")
                engine.grow(number)
                engine.measure(2 * hop_s)
                found = engine.measure(seconds)
                offered = sum(each["offered"] for each in found["streams"].values())
                missing = sum(each["hop"] + each["overload"] for each in found["streams"].values())
                late = 100 * (found["late"] + missing) / max(1, offered)
                rss_mb = found["looks"][-1]["rss_mb"]
                memory.append((number, rss_mb))
                row = f"{number} streams"
                before = report.rows.get(row, {}).get("late %", 0.0)
                if isinstance(before, float) and before > late:
                    continue
                report.row(
                    row,
                    {
                        "of raw": number / raw,
                        "windows": offered,
                        "late %": late,
                        "p50 ms": 1000 * found["latency"]["p50"],
                        "p99 ms": 1000 * found["latency"]["p99"],
                        "max ms": 1000 * found["latency"]["max"],
                        "cores": found["cpu"],
                        "rss MB": rss_mb,
                    },
                )
            engine.shrink(0)
            tell("raw inference")
            raw_rates.append(engine.raw())
    raw = float(np.mean(raw_rates)) * hop_s
    for name, figures in report.rows.items():
        number, late = int(name.split()[0]), figures["late %"]
        figures["of raw"] = number / raw
        if isinstance(late, float) and late < LATE_PERCENT:
            held = max(held, number)
    report.row("raw inference", {"of raw": 1.0})
    report.notes.append(
        f"raw inference: {' and '.join(f'{rate:.1f}' for rate in raw_rates)} segments/s before and after, "
        f"that is {raw:.0f} streams; {held} streams held"
    )
    report.target(f"streams with under {LATE_PERCENT} % late windows, of raw", held / raw, at_least=0.85)
    if len({number for number, _ in memory}) > 1:
        numbers_of, megabytes = np.array(memory).T
        per_stream = float(np.polyfit(numbers_of, megabytes, 1)[0])
        report.target("a stream more, MB", per_stream, at_most=3)
    return report
