"""The figures that pages quote: the table `short` is for README, `all` for docs/bench.md."""

from __future__ import annotations

from bench.figures import Line, Tables, span
from bench.held import held_in_all, held_in_most, steps
from bench.report import Report, format_number

# -- figures that take more than a look-up ---------------------------------------------------------


def _largest_error(report: Report) -> str:
    errors = [row["error"] for row in report.rows.values()]
    return format_number(max(each for each in errors if isinstance(each, float)))


def _streams_held(report: Report) -> str:
    tried = steps(report)
    every, most = held_in_all(tried), held_in_most(tried)
    if not every:
        return "none of the numbers tried"
    text = f"{span([trial.streams for trial in every])} in each of {len(every)} runs"
    if most != every:
        held = [trial.streams for trial in most if trial.held]
        text += f", {span(held)} in {len(held)} of them"
    return text


def _share_of_inference(report: Report) -> str:
    trials = held_in_all(steps(report))
    if not trials:
        return "-"
    alone = span([round(trial.raw) for trial in trials])
    return f"{span([round(trial.of_raw, 2) for trial in trials])} of {alone} streams"


def _overload(report: Report) -> str:
    (row,) = report.rows.values()
    offered, served, skipped = (row[each] for each in ("offered", "served", "skipped"))
    assert isinstance(offered, int)
    assert isinstance(served, int)
    text = f"{100 * served / offered:.0f} % served by a longer hop, {skipped} skipped as too late"
    return f"{text}, {_verdict(report, 'every window accounted for')}"


def _soak(report: Report) -> str:
    growth = next(each.seen for each in report.targets if each.what.startswith("memory"))
    assert growth is not None
    verdict = _verdict(report, "every segment in its place")
    return f"memory grew by {format_number(growth)} MB an hour, {verdict}"


def _verdict(report: Report, right: str) -> str:
    """`right`, unless the report has wrong numbers: then those."""
    return "; ".join(f"WRONG: {target.what}" for target in report.wrong) or right


# -- lines of both tables --------------------------------------------------------------------------

_TAGGING = Line(
    "peers",
    "Tagging a file with MusiCNN on one core, a segment every 1.5 s",
    "{hop 93: auricle | x real time} times real time",
)
_ESSENTIA = Line(
    "peers",
    "... compared with Essentia-TensorFlow on the same weights, file and core",
    "{hop 93: essentia | its time / ours} times as fast, "
    "{hop 16: essentia | its time / ours} times with a segment every 0.26 s",
)
_AGREEMENT = Line("peers", "... largest difference of activations", _largest_error)
_LATENCY = Line(
    "latency",
    "Last sample of a segment to a subscriber, median and 99th percentile",
    "{hop 93: total | p50 ms} ms and {hop 93: total | p99 ms} ms",
)
_STREAMS = Line(
    "streams",
    "Streams of MusiCNN in real time, a segment every 1.5 s, under 0.1 % of windows late",
    _streams_held,
)
_STREAM_MEMORY = Line("streams", "Memory of an additional stream", "{target: a stream more, MB} MB")
_SOAK = Line(
    "soak",
    "24 hours of one stream with {24 hours | gaps} gaps, at {24 hours | x real time} times "
    "real time",
    _soak,
)
_PATCHOUT = Line(
    "patchout",
    "MAEST on 30 s of audio, one thread",
    "{fp32, every 1, 0 rows out | ms} ms with all patches in fp32, "
    "{int8, every 10, 4 rows out | ms} ms with the fewest in int8",
)

# -- the tables ------------------------------------------------------------------------------------

_SHORT = (_TAGGING, _ESSENTIA, _LATENCY, _STREAMS, _STREAM_MEMORY, _SOAK)

_TAGGING_IN_DETAIL = (
    _TAGGING,
    Line("peers", "... every 0.26 s", "{hop 16: auricle | x real time} times real time"),
    _ESSENTIA,
    Line(
        "peers",
        "... compared with librosa and ONNX Runtime, as one writes it oneself",
        "{hop 93: librosa + ONNX Runtime | its time / ours} times as fast, "
        "{hop 16: librosa + ONNX Runtime | its time / ours} times with a segment every 0.26 s",
    ),
    _AGREEMENT,
    Line("pipeline", "... time beyond decoding and ONNX Runtime", "{target: % of the time} %"),
)

_PARTS = (
    Line(
        "ring",
        "Writing a block of 20 ms, reading a window of 30 s",
        "{Stream | us a block} us, {np.roll | us a block} us with `np.roll`",
    ),
    Line(
        "mel",
        "A mel frame, 64 at a time and one at a time",
        "{MelKernel, 64 at a time | us a frame} us and "
        "{MelKernel, 1 at a time | us a frame} us, "
        "{MelKernel, 64 at a time | reference's time / its} and "
        "{MelKernel, 1 at a time | reference's time / its} times as fast as Essentia",
    ),
    Line("backbone", "A whole segment", "{session.run, 1 thread | ms a segment} ms"),
    Line(
        "backbone",
        "... with work shared, a segment every 93 frames and every 16",
        "{hop 93, shared work | ms a segment} ms and {hop 16, shared work | ms a segment} ms",
    ),
    Line(
        "heads",
        "50 heads (200 - 100 - n) on top of the backbone",
        "{backbone and 50 heads | overhead %} % "
        "(the node alone {... the heads node alone | overhead %} %)",
    ),
    Line(
        "student",
        "A segment of `auricle-small`, and of both models that taught it",
        "{hop 62, student | ms a segment} ms and "
        "{hop 62, teachers, whole segments | ms a segment} ms, "
        "{hop 62, student | times teachers} times as fast",
    ),
    Line(
        "wire",
        "A prediction from one process to another over TCP, median and 99th percentile",
        "{Server to Subscriber | p50 us} us and {Server to Subscriber | p99 us} us",
    ),
)

_STREAMS_IN_DETAIL = (
    _LATENCY,
    _STREAMS,
    Line("streams", "... as a share of what inference alone would do", _share_of_inference),
    Line("streams-auricle-small", "... of `auricle-small`, a segment every second", _streams_held),
    Line(
        "streams-auricle-small",
        "... as a share of what inference alone would do",
        _share_of_inference,
    ),
    _STREAM_MEMORY,
    Line(
        "overload",
        "{setting: load} times the streams that inference alone would do, for {setting: seconds} s",
        _overload,
    ),
    Line("overload", "... furthest stream from the mean", "{target: furthest stream} %"),
    Line(
        "overload",
        "... until everything is served again, once load has fallen",
        "{target: seconds until rung 0} s",
    ),
    _SOAK,
)

_OTHERS = (
    _PATCHOUT,
    Line(
        "patchout",
        "... every 2nd column in fp32, every 3rd in int8",
        "{fp32, every 2, 0 rows out | ms} ms and {int8, every 3, 0 rows out | ms} ms",
    ),
    Line(
        "patchout",
        "... the fewest in int8 compared with EfficientNet-B0 at half overlap on the same 30 s",
        "{int8, every 10, 4 rows out | times EfficientNet} times as fast, live "
        "{live: int8, every 10, without rows 0 1 7 8, every 60 frames | times EfficientNet} times",
    ),
    Line(
        "pairs",
        "Pairs for an epoch of training from {setting: tracks} tracks",
        "{target: all four, s} s, {target: peak memory, MB} MB",
    ),
)

TABLES: Tables = {
    "short": _SHORT,
    "all": (*_TAGGING_IN_DETAIL, *_PARTS, *_STREAMS_IN_DETAIL, *_OTHERS),
}
"""Lines by the name of the table. The model is MusiCNN where none is named."""
