"""How long after the last sample of a segment its prediction is in a subscriber's hands."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from auricle.errors import InputError
from auricle.models.registry import info
from auricle.wire.codec import encode
from bench.audio import DEMO, SAMPLE_RATE, chord, decode
from bench.report import Report
from bench.timing import Progress, percentiles, silent
from bench.workers import CONTENDERS, Worker

MARGIN_MS = 5.0
"""What may come on top of the inference's own 99th percentile."""

STAGES = ("queue", "mel", "inference", "publish", "transport")


def measure(
    model: str = "musicnn-mtt",
    hops: Sequence[int] = (93, 16),
    seconds: float = 30.0,
    block_ms: float = 20.0,
    runs: int = 3,
    progress: Progress = silent,
) -> Report:
    """One stream in real time: this process pushes PCM, an engine hears it, a third process
    subscribes.

    The time runs from handing over the block with the last sample that a segment needs to holding
    its prediction. Mel frames are centred, so that sample lies half a window behind the middle of
    the segment's last frame.

    Args:
        model: As for a backbone.
        hops: Frames from one segment to the next, each measured for `seconds`.
        seconds: Of sound.
        block_ms: Milliseconds of a block.
        runs: Times that each hop is measured; all count.
        progress: Called with a line that says how far it is.

    Raises:
        InputError: Fewer seconds than three segments take.
    """
    card = info(model)
    assert card.front_end is not None
    assert card.segment_size is not None
    report = Report(
        "latency",
        "From the last sample of a segment to the subscriber's hands, one stream in real time",
        {"model": card.name, "seconds": seconds, "block_ms": block_ms, "runs": runs},
    )
    for hop in hops:
        predictions: list[dict[str, Any]] = []
        totals: list[float] = []
        by_run: list[float] = []
        lost = 0
        for run in range(runs):
            progress(f"run {run + 1} of {runs}: hop {hop}")
            heard, sent_ns, block = _listen(model, hop, seconds, block_ms)
            lost += heard["lost"]
            fresh = 0
            # The first ones find caches cold: the sessions have run once, the rest of the way has
            # not.
            for prediction in heard["predictions"][2:]:
                frame = prediction["index"] * hop + card.segment_size - 1
                last_sample = frame * card.front_end.hop_size + card.front_end.frame_size // 2 - 1
                if last_sample // block >= len(sent_ns):
                    continue  # zeros complete the last frame, where the sound ends
                totals.append((prediction["ns"] - sent_ns[last_sample // block]) / 1e6)
                predictions.append(prediction)
                fresh += 1
            if fresh:
                by_run.append(percentiles(totals[-fresh:])["p99"])
        if not totals:
            raise InputError(f"hop {hop}: no predictions in {seconds:g} s; more seconds are needed")
        stages = {
            stage: [1000 * prediction["latency"].get(stage, 0.0) for prediction in predictions]
            for stage in STAGES
        }
        for stage, values in {**stages, "total": totals}.items():
            report.row(
                f"hop {hop}: {stage}",
                {f"{name} ms": value for name, value in percentiles(values).items()},
            )
        report.series[f"hop {hop}: total"] = totals
        report.series[f"hop {hop}: inference"] = stages["inference"]
        allowed = percentiles(stages["inference"])["p99"] + MARGIN_MS
        report.target(
            f"hop {hop}: p99 of the total, ms, against the inference's p99 and {MARGIN_MS:g} ms",
            percentiles(totals)["p99"],
            at_most=allowed,
        )
        report.target(f"hop {hop}: messages lost", lost, at_most=0, correctness=True)
        spread = f"p99 of the total by run {min(by_run):.1f} to {max(by_run):.1f} ms"
        report.notes.append(f"hop {hop}: {len(totals)} predictions, {spread}")
    return report


def _listen(
    model: str, hop: int, seconds: float, block_ms: float
) -> tuple[dict[str, Any], list[int], int]:
    """What the subscriber said, when each block was handed over, and samples of a block."""
    block = round(block_ms * SAMPLE_RATE / 1000)
    once = decode(DEMO) if DEMO.is_file() else chord()
    samples = np.resize(once, round(seconds * SAMPLE_RATE)).astype("<f4")
    settings = {"model": model, "hop_frames": hop}
    python = Path(sys.executable)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with Worker(
            "the engine", python, CONTENDERS / "auricle_live.py", settings, threads=1
        ) as engine:
            addresses = engine.ask()
            settings = {"address": addresses["publish"]}
            with Worker(
                "the subscriber", python, CONTENDERS / "auricle_listener.py", settings
            ) as listener:
                listener.begin()
                socket = context.socket(zmq.PUSH)
                socket.connect(addresses["pcm"])
                sent_ns = _push(socket, samples, block)
                return listener.answer(), sent_ns, block
    finally:
        context.destroy(linger=0)


def _push(socket: zmq.Socket[bytes], samples: Any, block: int) -> list[int]:
    """Hand over the samples block by block, each when its last sample would have been heard."""
    sent_ns = []
    began = time.monotonic()
    for number, first in enumerate(range(0, len(samples), block)):
        time.sleep(max(0.0, began + (first + block) / SAMPLE_RATE - time.monotonic()))
        header = {
            "sample_rate": SAMPLE_RATE,
            "channels": 1,
            "format": "f32le",
            "first_sample": first,
            "seq": number,
            "end": first + block >= len(samples),
        }
        sent_ns.append(time.monotonic_ns())
        socket.send_multipart([encode(header), samples[first : first + block].tobytes()])
    return sent_ns
