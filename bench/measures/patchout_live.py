"""Streams in real time whose backbone leaves patches out, on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.models.patchout import Patchout
from auricle.models.registry import find, info
from auricle.nodes.backbone import Backbone
from auricle.service.graph_file import GraphFile
from auricle.service.service import Service
from bench.audio import clip
from bench.report import Report
from bench.segments import Segments
from bench.timing import (
    Measurement,
    Progress,
    Spread,
    alternate,
    parse_cores,
    pinned,
    ratios,
    silent,
)

DROPPED = {0: (), 3: (0, 7, 8), 4: (0, 1, 7, 8)}
"""Rows that are left out, by their number: the lowest and the two highest, or the two lowest and
the two highest.
"""

Plan = tuple[str, int, Patchout]
"""Precision of the model, frames from one segment to the next, patches."""

LIVE: Sequence[Plan] = (
    ("fp32", 60, Patchout(keep_every=2)),
    ("int8", 10, Patchout(keep_every=3)),
)
"""One prediction a second at least, and four. Segments share projected patches only where hops are
multiples of MAEST's stride, 10 frames.
"""

CHEAPEST: Plan = ("int8", 60, Patchout(keep_every=10, drop_rows=DROPPED[4]))
"""What is compared with EfficientNet in a live stream."""

EFFICIENTNET = "EfficientNet-B0, half overlap"


@dataclass(frozen=True, slots=True)
class Played:
    """Account of a stream that was played.

    Attributes:
        given: Number of segments, including those left out.
        left_out: Number of segments left out.
        inference_s: Seconds of inference.
    """

    given: int
    left_out: int
    inference_s: float

    @property
    def served(self) -> int:
        """Number of segments that were not left out."""
        return self.given - self.left_out

    @property
    def segment_s(self) -> float:
        """Seconds of inference of a segment."""
        return self.inference_s / max(1, self.served)


Play = Callable[[str, Mapping[str, Any], float], Played]
"""Plays a number of seconds to a model with these parameters of the backbone, in real time."""


def measure(
    report: Report,
    models: Sequence[str],
    efficientnet: str | None,
    seconds: float,
    runs: int,
    progress: Progress = silent,
) -> None:
    """Add the live streams with fixed patches to a report.

    Args:
        report: Report that rows and targets are added to.
        models: Exports of one network.
        efficientnet: A convolutional model to compare with.
        seconds: Seconds of each run, beyond the first segment.
        runs: Runs beside EfficientNet, which share the seconds.
        progress: Function to call with a line of progress.
    """
    by_precision = {info(model).precision: model for model in reversed(models)}
    for plan in LIVE:
        if plan[0] in by_precision:
            progress(f"live: {plan[0]}, {plan[2]}")
            add_stream(report, by_precision[plan[0]], plan, seconds)
    if efficientnet is not None and CHEAPEST[0] in by_precision:
        cheapest = by_precision[CHEAPEST[0]]
        add_beside(report, cheapest, efficientnet, seconds / runs, runs, progress)


def half_overlap(size: int, frames: int) -> range:
    """First frames of the segments that fit into `frames` frames."""
    return range(0, frames - size + 1, size // 2)


def add_target_of_speed(report: Report, row: str) -> None:
    """Add the target that a row is three times as fast as EfficientNet."""
    speed = report.rows[row]["times EfficientNet"]
    report.target(f"{row}: times EfficientNet's speed", speed, at_least=3)


def play(model: str, parameters: Mapping[str, Any], seconds: float) -> Played:
    """Play a segment and some seconds more to a stream on one core."""
    with engine(model, parameters, seconds) as (service, node):
        service.wait()
    return played(node)


def played(node: Backbone) -> Played:
    """Segments so far of a backbone's stream, and the seconds of its inference."""
    (stream, *_) = (port.stream for port in node.outputs.values())
    spent_s = node.elsewhere_ns["inference"] / 1e9
    return Played(stream.written, sum(node.counts.values()), spent_s)


# -- with fixed patches ----------------------------------------------------------------------------


def add_stream(report: Report, model: str, plan: Plan, seconds: float, play: Play = play) -> None:
    """Add a row about one stream: predictions, segments left out, and ms per segment."""
    precision, hop, patchout = plan
    found = play(model, {"hop_size": hop, "patchout": patchout.model_dump()}, seconds)
    name = _row_name(precision, hop, patchout)
    figures = {"predictions": found.served, "left out": found.left_out}
    report.row(name, {**figures, "ms": 1e3 * found.segment_s})
    report.target(f"{name}: segments left out", found.left_out, at_most=0)


def _row_name(precision: str | None, hop: int, patchout: Patchout) -> str:
    return f"live: {precision}, {patchout}, every {hop} frames"


@dataclass
class _Stream:
    """A stream that is played several times.

    Attributes:
        model: Name of an installed model, or its folder.
        parameters: Parameters of its backbone.
        segments: Segments whose time is measured.
        seconds: Seconds of each run.
        play: Plays it.
        runs: Counts of each run.
    """

    model: str
    parameters: Mapping[str, Any]
    segments: int
    seconds: float
    play: Play
    runs: list[Played] = field(default_factory=list)

    def __call__(self) -> float:
        """Seconds of inference for `segments` segments."""
        self.runs.append(self.play(self.model, self.parameters, self.seconds))
        return self.segments * self.runs[-1].segment_s


def add_beside(
    report: Report,
    model: str,
    efficientnet: str,
    seconds: float,
    runs: int,
    progress: Progress = silent,
    play: Play = play,
) -> None:
    """A stream of the cheapest setting and one of EfficientNet, in turn; what the same audio costs.

    For EfficientNet that is the time of all segments, at half overlap, that fit into one of the
    transformer's.
    """
    _, hop, patchout = CHEAPEST
    size, small = Segments.of(model).size, Segments.of(efficientnet).size
    name, other = _row_name(info(model).precision, hop, patchout), f"live: {EFFICIENTNET}"
    patches = {"hop_size": hop, "patchout": patchout.model_dump()}
    overlapping = {"hop_size": small // 2}
    streams = {
        name: _Stream(model, patches, 1, seconds, play),
        other: _Stream(efficientnet, overlapping, len(half_overlap(small, size)), seconds, play),
    }
    measurements: Mapping[str, Measurement] = streams
    taken = alternate(measurements, runs, warm_up=0, progress=progress)
    for row, stream in streams.items():
        report.row(
            row,
            {
                "predictions": sum(run.served for run in stream.runs),
                "left out": sum(run.left_out for run in stream.runs),
                "ms": Spread.of(taken[row]).scaled(1e3),
                "times EfficientNet": ratios(taken[other], taken[row]),
            },
        )
    left_out = report.rows[name]["left out"]
    report.target(f"{name}: segments left out", left_out, at_most=0)
    add_target_of_speed(report, name)


@contextmanager
def engine(
    model: str, parameters: Mapping[str, Any], seconds: float
) -> Iterator[tuple[Service, Backbone]]:
    """An engine on one core that plays a segment and `seconds` more in real time."""
    with (
        clip(None, Segments.of(model).seconds + seconds) as path,
        pinned(parse_cores(None)),
        Service(GraphFile.model_validate(_graph(model, parameters, path)), Path()) as service,
    ):
        (run,) = service.runs
        node = run.graph.nodes["backbone"]
        assert isinstance(node, Backbone)
        yield service, node
        if run.error is not None:
            raise run.error


def _graph(model: str, parameters: Mapping[str, Any], path: Path) -> dict[str, Any]:
    backbone = {"model": str(find(model)), **parameters}
    labelled = info(model).classes
    edge = "predictions -> publish.predictions" if labelled else "embeddings -> publish.arrays"
    return {
        "stream": "bench",
        "nodes": [
            {"id": "input", "class": "FileInput", "params": {"path": str(path), "realtime": True}},
            {"id": "mel", "class": "MelSpectrogram"},
            {"id": "backbone", "class": "Backbone", "params": backbone},
            {"id": "publish", "class": "Publisher"},
        ],
        "edges": [f"input -> mel -> backbone.{edge}"],
        "wire": {"publish": "tcp://127.0.0.1:*", "arrays": "tcp://127.0.0.1:*"},
    }
