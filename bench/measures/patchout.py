"""What leaving out patches saves and costs: the thesis' figure 6.3 (Alonso-Jimenez 2024) on this
machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ConfigError
from auricle.models.card import Card
from auricle.models.front_end import FRONT_ENDS
from auricle.models.inference.patches import PatchInference
from auricle.models.inference.sessions import open_patch_session, open_session
from auricle.models.patchout import Patchout
from auricle.models.registry import find, info
from auricle.nodes.backbone import Backbone
from auricle.nodes.signal.mel import mel_spectrogram
from auricle.service.graph_file import GraphFile
from auricle.service.service import Service
from bench.audio import DEMO, SAMPLE_RATE, chord, clip, decode
from bench.report import Figure, Report
from bench.timing import (
    Measurement,
    Progress,
    Spread,
    alternate,
    parse_cores,
    pinned,
    ratios,
    silent,
    timed,
)

KEEP_EVERY = (1, 2, 3, 5, 10)
DROPPED = {0: (), 3: (0, 7, 8), 4: (0, 1, 7, 8)}
"""Rows by their number: the lowest and the two highest, or the two lowest and the two highest."""

LIVE = (
    ("fp32", 60, Patchout(keep_every=2)),
    ("int8", 10, Patchout(keep_every=3)),
)
"""Precision, frames from one segment to the next, and patches: one prediction a second at least,
and four. Segments share projected patches only where hops are multiples of MAEST's stride, 10
frames."""

CHEAPEST = ("int8", 60, Patchout(keep_every=10, drop_rows=DROPPED[4]))
"""Likewise, for what is compared with EfficientNet in a live stream."""

CALM_LOAD = 0.7
"""Part of a core that the adaptive stream takes with all patches, while it has the core alone."""

CALM_S, BUSY_S, RECOVERY_S = 20.0, 60.0, 90.0

EFFICIENTNET = "EfficientNet-B0, half overlap"
SPEED = "x real time"


def measure(
    models: Sequence[str],
    efficientnet: str | None = None,
    live_s: float = 60.0,
    runs: int = 3,
    *,
    labelled: Sequence[str] = (),
    progress: Progress = silent,
) -> Report:
    """Speed and closeness over patchout settings, one segment after the other on one thread.

    Args:
        models: Exports of one network by name or folder; the first is what the others are close to.
        efficientnet: A convolutional model that hears the same seconds, at half overlap.
        live_s: Seconds of each live run, beyond the first segment; none, if 0.
        runs: Rounds that count.
        labelled: Exports of the same with activations, in the same order, where the models that are
            timed do without: closeness is theirs.
        progress: Called with a line that says how far it is.

    Raises:
        ConfigError: A model without patches.
    """
    cards = {model: info(model) for model in models}
    for card in (*cards.values(), *map(info, labelled)):
        if card.patch_grid is None or card.segment_size is None:
            raise ConfigError(f"{card.name}: not a model whose patches can be left out")
    reference = cards[models[0]]
    assert reference.segment_size is not None
    report = Report(
        "patchout",
        "A segment of a transformer, patches left out",
        {"models": [card.name for card in cards.values()], "live_s": live_s, "runs": runs},
        reference=EFFICIENTNET if efficientnet else "",
    )
    music = _music(reference.segment_size)
    seconds = reference.segment_size * FRONT_ENDS["musicnn"].hop_size / SAMPLE_RATE
    measurements: dict[str, Measurement] = {}
    outputs: dict[str, dict[str, NDArray[np.float32]]] = {}
    figures: dict[str, dict[str, Figure]] = {}
    same: dict[str, str] = {}  # row of the first model with the same patches
    kinds = {model: card.precision or card.name for model, card in cards.items()}
    if len(set(kinds.values())) < len(kinds):
        kinds = {model: card.name for model, card in cards.items()}
    for model, compared in zip(models, labelled or models, strict=True):
        card, kind = cards[model], kinds[model]
        for dropped, rows in DROPPED.items():
            for every in KEEP_EVERY:
                setting = f"every {every}, {dropped} rows out"
                name = f"{kind}, {setting}"
                same[name] = f"{kinds[models[0]]}, {setting}"
                patchout = Patchout(keep_every=every, drop_rows=rows)
                measurements[name] = timed(_segment(model, patchout, music))
                outputs[name] = _segment(compared, patchout, music)()
                assert card.patch_grid is not None
                figures[name] = {
                    "model": kind,
                    "keep every": every,
                    "rows out": dropped,
                    "tokens": card.patch_grid.tokens(patchout) + 2,
                }
    if efficientnet is not None:
        measurements[EFFICIENTNET] = _convolutional(efficientnet, len(music))
    measured = alternate(measurements, runs, progress=progress)
    full = outputs[next(iter(outputs))]
    for name, taken in measured.items():
        row = {
            **figures.get(name, {}),
            "ms": Spread.of(taken).scaled(1e3),
            SPEED: Spread.of(taken).inverse(seconds),
        }
        if efficientnet is not None:
            row["times EfficientNet"] = ratios(measured[EFFICIENTNET], taken)
        if name in outputs:
            row |= _closeness(outputs[name], full)
            if same[name] != name:
                row["cosine to the first"] = _closeness(outputs[name], outputs[same[name]]).get(
                    "cosine"
                )
        report.row(name, row)
    precision, _, patchout = CHEAPEST
    cheapest = f"{precision}, every {patchout.keep_every}, {len(patchout.drop_rows)} rows out"
    if efficientnet is not None and cheapest in report.rows:
        _target_of_speed(report, cheapest)
    if live_s:
        of = {card.precision: model for model, card in reversed(cards.items())}
        for precision, hop, patchout in LIVE:
            if precision in of:
                progress(f"live: {precision}, {patchout}")
                _live(report, of[precision], hop, patchout, live_s)
        if efficientnet is not None and CHEAPEST[0] in of:
            _live_beside(report, of[CHEAPEST[0]], efficientnet, live_s / runs, runs, progress)
        fewest = next(iter(measured))  # all patches, of the first model
        progress("live: adaptive")
        _adaptive(report, models[0], min(measured[fewest]))
    if not DEMO.is_file():
        report.notes.append("tried on a chord in noise")
    return report


def _music(frames: int) -> NDArray[np.float32]:
    music = mel_spectrogram(decode(DEMO) if DEMO.is_file() else chord(), FRONT_ENDS["musicnn"])
    return np.resize(music, (frames, music.shape[1]))


def _segment(
    model: str, patchout: Patchout, mel: NDArray[np.float32]
) -> Callable[[], dict[str, NDArray[np.float32]]]:
    """What runs a whole segment, nothing of it known, and gives what comes out of it, by name."""
    card = info(model)
    assert card.patch_grid is not None
    assert card.front_end is not None
    inference = PatchInference(
        open_patch_session(find(model), ("cpu",), 1), card.patch_grid, patchout
    )
    scaled = (mel - np.float32(card.front_end.mean)) / np.float32(card.front_end.std)
    names = [output.name for output in card.io.outputs]

    def work() -> dict[str, NDArray[np.float32]]:
        inference.use(patchout)  # forgets what was projected
        return dict(zip(names, inference.run(names, 0, scaled), strict=True))

    return work


def _convolutional(model: str, frames: int) -> Measurement:
    """The same seconds in segments that overlap by half, one after the other."""
    card = info(model)
    if card.segment_size is None or card.segment_size > frames:
        raise ConfigError(f"{card.name}: not a model whose segments fit into {frames} frames")
    session = open_session(find(model), ("cpu",), 1)
    mel = _music(frames)
    segments = [
        mel[start : start + card.segment_size] for start in _half_overlap(card.segment_size, frames)
    ]
    name = session.get_inputs()[0].name

    def work() -> None:
        for segment in segments:
            session.run(None, {name: segment[None]})

    return timed(work)


def _half_overlap(size: int, frames: int) -> range:
    """Where the segments of so many frames begin."""
    return range(0, frames - size + 1, size // 2)


def _closeness(
    outputs: Mapping[str, NDArray[np.float32]], full: Mapping[str, NDArray[np.float32]]
) -> dict[str, Figure]:
    """Cosine of the embeddings, and how many of the five strongest labels are the same."""
    found: dict[str, Figure] = {}
    if "embeddings" in outputs and "embeddings" in full:
        one, other = outputs["embeddings"][0], full["embeddings"][0]
        found["cosine"] = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    if "activations" in outputs and "activations" in full:
        best, truth = (
            set(np.argsort(-each["activations"][0])[:5].tolist()) for each in (outputs, full)
        )
        found["top 5"] = len(best & truth) / len(truth)
    return found


def _live(report: Report, model: str, hop: int, patchout: Patchout, seconds: float) -> None:
    """One stream in real time on one core; adds what was served and left out."""
    given, left_out, spent_s = _played(
        model, {"hop_size": hop, "patchout": patchout.model_dump()}, seconds
    )
    name = _live_name(info(model).precision, hop, patchout)
    report.row(
        name,
        {
            "predictions": given - left_out,
            "left out": left_out,
            "ms": 1e3 * spent_s / max(1, given - left_out),
        },
    )
    report.target(f"{name}: segments left out", left_out, at_most=0)


def _live_beside(
    report: Report, model: str, efficientnet: str, seconds: float, runs: int, progress: Progress
) -> None:
    """A stream of the cheapest setting and one of EfficientNet, in turn; adds what the same seconds
    cost.

    For EfficientNet they are those of all segments, at half overlap, that fit into one of the
    transformer's.
    """
    _, hop, patchout = CHEAPEST
    size, small = info(model).segment_size, info(efficientnet).segment_size
    assert size is not None
    assert small is not None
    segments = len(_half_overlap(small, size))
    name, other = _live_name(info(model).precision, hop, patchout), f"live: {EFFICIENTNET}"
    served = {name: [0, 0], other: [0, 0]}

    def stream(row: str, played: str, params: Mapping[str, Any], segments: int) -> Measurement:
        def measure() -> float:
            given, left_out, spent_s = _played(played, params, seconds)
            served[row][0] += given - left_out
            served[row][1] += left_out
            return segments * spent_s / max(1, given - left_out)

        return measure

    measured = alternate(
        {
            name: stream(name, model, {"hop_size": hop, "patchout": patchout.model_dump()}, 1),
            other: stream(other, efficientnet, {"hop_size": small // 2}, segments),
        },
        runs,
        warm_up=0,
        progress=progress,
    )
    for row, taken in measured.items():
        predictions, left_out = served[row]
        figures: dict[str, Figure] = {
            "predictions": predictions,
            "left out": left_out,
            "ms": Spread.of(taken).scaled(1e3),
            "times EfficientNet": ratios(measured[other], taken),
        }
        report.row(row, figures)
    report.target(f"{name}: segments left out", served[name][1], at_most=0)
    _target_of_speed(report, name)


def _target_of_speed(report: Report, row: str) -> None:
    report.target(
        f"{row}: times EfficientNet's speed", report.rows[row]["times EfficientNet"], at_least=3
    )


def _live_name(precision: str | None, hop: int, patchout: Patchout) -> str:
    return f"live: {precision}, {patchout}, every {hop} frames"


def _played(model: str, params: Mapping[str, Any], seconds: float) -> tuple[int, int, float]:
    """`_counts` of a stream in real time on one core."""
    with _engine(model, params, seconds) as (service, node):
        service.wait()
    return _counts(node)


def _adaptive(report: Report, model: str, full_s: float) -> None:
    """One stream that takes most of one core, and a second process on it for a while."""
    card = info(model)
    assert card.patch_grid is not None
    stride = card.patch_grid.stride
    hop = stride * max(1, round(full_s / CALM_LOAD * FRONT_ENDS["musicnn"].rate / stride))
    looks: list[tuple[float, int]] = []
    seconds = CALM_S + BUSY_S + RECOVERY_S
    with _engine(model, {"hop_size": hop, "adaptive": True}, seconds) as (service, node):
        began = time.monotonic() + _segment_s(card)
        busy: subprocess.Popen[bytes] | None = None
        try:
            while not service.wait(0.5):
                at_s = time.monotonic() - began
                looks.append((at_s, service.ladder.rung))
                if busy is None and at_s > CALM_S:
                    busy = subprocess.Popen(
                        [sys.executable, "-c", "while True: pass"]
                    )  # on the same core
                if busy is not None and at_s > CALM_S + BUSY_S:
                    busy.kill()
        finally:
            if busy is not None:
                busy.kill()
                busy.wait()
    given, left_out, _ = _counts(node)
    highest = max(rung for _, rung in looks)
    cheapest = len(node.levels_for()) - 1
    name = (
        f"live: {card.precision}, adaptive, every {hop} frames, a second process for {BUSY_S:.0f} s"
    )
    report.row(name, {"predictions": given - left_out, "left out": left_out})
    report.target(f"{name}: segments left out", left_out, at_most=0)
    report.target(f"{name}: levels down, of {cheapest}", highest, at_least=1, at_most=cheapest)
    report.target(f"{name}: level at the end", looks[-1][1], at_most=0)
    report.series["adaptive: seconds"] = [at_s for at_s, _ in looks]
    report.series["adaptive: rung"] = [float(rung) for _, rung in looks]


def _segment_s(card: Card) -> float:
    assert card.segment_size is not None
    return card.segment_size * FRONT_ENDS["musicnn"].hop_size / SAMPLE_RATE


def _counts(node: Backbone) -> tuple[int, int, float]:
    """Segments, those of them that were left out, and seconds of inference."""
    (stream, *_) = (port.stream for port in node.outputs.values())
    return stream.written, sum(node.counts.values()), node.elsewhere_ns["inference"] / 1e9


@contextmanager
def _engine(
    model: str, params: Mapping[str, Any], seconds: float
) -> Iterator[tuple[Service, Backbone]]:
    """An engine on one core that plays a segment and `seconds` more in real time."""
    card = info(model)
    port, target = ("predictions", "predictions") if card.classes else ("embeddings", "arrays")
    with clip(None, _segment_s(card) + seconds) as path, pinned(parse_cores(None)):
        content: dict[str, Any] = {
            "stream": "bench",
            "nodes": [
                {
                    "id": "input",
                    "class": "FileInput",
                    "params": {"path": str(path), "realtime": True},
                },
                {"id": "mel", "class": "MelSpectrogram"},
                {
                    "id": "backbone",
                    "class": "Backbone",
                    "params": {"model": str(find(model)), **params},
                },
                {"id": "publish", "class": "Publisher"},
            ],
            "edges": [f"input -> mel -> backbone.{port} -> publish.{target}"],
            "wire": {"publish": "tcp://127.0.0.1:*", "arrays": "tcp://127.0.0.1:*"},
        }
        with Service(GraphFile.model_validate(content), Path()) as service:
            (run,) = service.runs
            node = run.graph.nodes["backbone"]
            assert isinstance(node, Backbone)
            yield service, node
            if run.error is not None:
                raise run.error
