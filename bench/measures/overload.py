"""More streams than one machine can serve: who is served, what is left out, and whether it adds up."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from auricle.models.registry import info
from bench.fleet import fleet, slope
from bench.report import Report
from bench.timing import Progress, percentiles, silent
from bench.workers import CONTENDERS, Worker

RECOVERY_LOAD = 0.5
"""Part of the raw rate that is left when the load falls."""

RECOVERY_S = 240.0
"""Longest wait for the ladder to come down."""


def measure(
    model: str = "musicnn-mtt",
    hop_size: int | None = None,
    load: float = 2.0,
    seconds: float = 300.0,
    recovery_s: float = RECOVERY_S,
    progress: Progress = silent,
) -> Report:
    """An engine with `load` times the streams that raw inference allows; then fewer.

    Args:
        model, hop_size: As for a backbone.
        load: Streams, as a multiple of what the raw inference rate allows.
        seconds: Time under load.
        recovery_s: Longest wait for rung 0 when load has fallen.
        progress: Called with a line that says how far it is.
    """
    card = info(model)
    assert card.front_end is not None
    hop = hop_size or card.segment_hop_size or 1
    hop_s = hop * card.front_end.hop_size / card.front_end.sample_rate
    report = Report(
        "overload",
        f"An engine with {load:g} times the streams that it can serve",
        {"model": card.name, "hop_frames": hop, "load": load, "seconds": seconds},
    )
    with fleet(model, hop_size) as engine:
        progress("raw inference")
        raw = engine.raw() * hop_s
        number = max(2, round(load * raw))
        script = CONTENDERS / "auricle_counter.py"
        with Worker(
            "the subscriber", Path(sys.executable), script, {"address": engine.address}
        ) as counter:
            counter.begin(ends=number)
            progress(f"{number} streams for {seconds:g} s")
            engine.grow(number)
            found = engine.measure(seconds)
            left = max(1, round(RECOVERY_LOAD * raw))
            progress(f"{left} streams until rung 0")
            gone = engine.shrink(left)["streams"]
            recovered_s, rung = 0.0, 1
            while rung and recovered_s < recovery_s:
                rung = engine.measure(1.0)["looks"][-1]["rung"]
                recovered_s += 1.0
            gone |= engine.shrink(0)["streams"]
            heard = counter.answer()
    streams = found["streams"].values()
    offered = sum(each["offered"] for each in streams)
    left_out = Counter(
        {reason: sum(each[reason] for each in streams) for reason in ("hop", "overload")}
    )
    served = [each["offered"] - each["hop"] - each["overload"] for each in streams]
    mean = sum(served) / len(served)
    report.row(
        f"{number} streams, {found['seconds']:.0f} s",
        {
            "offered": offered,
            "served": sum(served),
            "longer hop": left_out["hop"],
            "skipped": left_out["overload"],
            "p50 ms": 1000 * found["latency"]["p50"],
            "p99 ms": 1000 * found["latency"]["p99"],
            "cores": found["cpu"],
            "rss MB": found["looks"][-1]["rss_mb"],
        },
    )
    # Over the whole life of every stream, from what a subscriber heard: each window once, served or
    # left out.
    wrong = sum(
        each["offered"] != heard["served"].get(name, 0) + heard["left_out"].get(name, 0)
        for name, each in gone.items()
    )
    worst = max(abs(each - mean) / mean for each in served) * 100 if mean else 100.0
    report.target(
        "streams whose served and skipped are not what was offered",
        wrong,
        at_most=0,
        correctness=True,
    )
    report.target("messages lost on the wire", heard["lost"], at_most=0, correctness=True)
    report.target("furthest stream from the mean, %", worst, at_most=20)
    growth_mb = slope(found["looks"], after_s=seconds / 3) * (seconds * 2 / 3) / 3600
    growth = 100 * growth_mb / found["looks"][-1]["rss_mb"]
    report.target("memory grown in the last two thirds of the time, %", growth, at_most=1)
    report.target(
        "seconds until rung 0 with half the raw load",
        recovered_s if not rung else None,
        at_most=recovery_s,
    )
    report.series["seconds"] = [look["at_s"] for look in found["looks"]]
    report.series["rung"] = [float(look["rung"]) for look in found["looks"]]
    report.series["rss MB"] = [look["rss_mb"] for look in found["looks"]]
    shares = {
        rung: count / sum(heard["rungs"].values()) for rung, count in sorted(heard["rungs"].items())
    }
    report.notes.append(
        "predictions by rung: "
        + ", ".join(f"{rung}: {share:.0%}" for rung, share in shares.items())
    )
    report.notes.append(
        f"served by stream: {percentiles(served)['p50']:.0f} in the middle, {min(served)} to {max(served)}"
    )
    return report
