"""Promises of every node: cuts, starts, liveness, gaps and bad neighbours change nothing."""

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.context import Context
from auricle.engine.graph import Graph
from auricle.engine.marks import Gap, Skip
from auricle.engine.node import Node
from auricle.engine.overload import Ladder
from auricle.engine.scheduler import LiveScheduler, passes, run_offline
from auricle.engine.testing import Player, Recorder
from auricle.models.heads.head import save_head
from auricle.models.heads.mlp import Layer
from auricle.nodes.aggregator import Aggregator
from auricle.nodes.backbone import Backbone
from auricle.nodes.heads import Heads
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Events, Prediction
from tests.tiny import LABELS, SIZE, make_backbone

STARTS = [0, 2**31 - 5, 2**53]
BLOCKS = [(1,), (127,), (256,), (4096,), (10**9,), (3, 5000, 1, 255, 700)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny backbone and a head for it."""
    folder = tmp_path_factory.mktemp("models")
    make_backbone(folder / "backbone")
    rng = np.random.default_rng(2)
    shapes = [(SIZE, 5), (5,), (5, 2), (2,)]
    w1, b1, w2, b2 = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    layers = [Layer(w1, b1, "relu"), Layer(w2, b2, "softmax")]
    save_head(folder / "mood", layers, name="mood", labels=("happy", "sad"), embedding_model="tiny")
    return folder


@pytest.fixture(scope="module")
def samples() -> NDArray[np.float32]:
    """Ten seconds of noise whose loudness changes every second, so that labels come and go."""
    rng = np.random.default_rng(3)
    loudness = np.repeat(10 ** rng.uniform(-4, 0, 10), 16000)
    return (loudness * rng.uniform(-1, 1, 160_000)).astype(np.float32)


class Bench:
    """Every node behind a player, and what comes out of each."""

    def __init__(self, player: Player, folder: Path, start: int = 0) -> None:
        rules = [{"label": label, "above": 0.6, "below": 0.4} for label in LABELS]
        nodes: list[Node] = [
            player,
            MelSpectrogram("mel"),
            MelSpectrogram("vggish", front_end="vggish"),
            Backbone("backbone", model=str(folder / "backbone")),
            Heads("heads", heads=[str(folder / "mood")]),
            Aggregator("tags", smoothing="median", window_s=1, events=rules),
        ]
        taps = {
            "mel.mel": None,
            "vggish.mel": None,
            "backbone.embeddings": None,
            "backbone.predictions": Prediction,
            "heads.predictions": Prediction,
            "tags.predictions": Prediction,
            "tags.events": Events,
        }
        self.recorders = {
            end: Recorder(end.replace(".", "-"), dtype) for end, dtype in taps.items()
        }
        edges = [(player.name, "mel"), (player.name, "vggish"), ("mel", "backbone.mel")]
        edges += [("backbone.embeddings", "heads"), ("backbone.predictions", "tags")]
        edges += [(end, recorder.name) for end, recorder in self.recorders.items()]
        self.graph = Graph("bench", [*nodes, *self.recorders.values()], edges, start)

    def results(self) -> dict[str, dict[int, Any]]:
        """Tokens by number, by the end of the graph that they came from, as plain values."""
        return {
            end: {n: plain(t) for n, t in recorder.tokens.items()}
            for end, recorder in self.recorders.items()
        }


def plain(token: Any) -> Any:
    if isinstance(token, Prediction):
        return [(s.head, s.model, s.labels, s.activations.tobytes()) for s in token.scores]
    return token.tobytes() if isinstance(token, np.ndarray) else token


@pytest.fixture(scope="module")
def whole(samples: NDArray[np.float32], folder: Path) -> dict[str, dict[int, Any]]:
    """The output when all input comes in one block."""
    bench = Bench(Player("player", samples, (10**9,)), folder)
    run_offline(bench.graph)
    return bench.results()


def test_there_is_something_to_compare(whole: dict[str, dict[int, Any]]) -> None:
    assert len(whole["mel.mel"]) == 1 + 160_000 // 256
    assert len(whole["vggish.mel"]) == 1 + 160_000 // 160
    assert len(whole["backbone.embeddings"]) == (626 - 40) // 13 + 1
    events = [event for token in whole["tags.events"].values() for event in token.events]
    assert {event.change for event in events} == {"on", "off"}


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_cut_does_not_matter(
    blocks: tuple[int, ...],
    samples: NDArray[np.float32],
    folder: Path,
    whole: dict[str, dict[int, Any]],
) -> None:
    bench = Bench(Player("player", samples, blocks), folder)
    run_offline(bench.graph)
    assert bench.results() == whole


@pytest.mark.parametrize("start", STARTS[1:])
@pytest.mark.parametrize("blocks", [(127,), (10**9,)], ids=str)
def test_days_do_not_matter(
    start: int,
    blocks: tuple[int, ...],
    samples: NDArray[np.float32],
    folder: Path,
    whole: dict[str, dict[int, Any]],
) -> None:
    bench = Bench(Player("player", samples, blocks), folder, start)
    run_offline(bench.graph)
    assert bench.results() == whole


def test_live_equals_offline(
    samples: NDArray[np.float32], folder: Path, whole: dict[str, dict[int, Any]]
) -> None:
    bench = Bench(Player("player", samples, (320,), live=True), folder)
    scheduler = LiveScheduler([bench.graph])
    scheduler.start()
    assert scheduler.wait(60)
    assert scheduler.runs[0].error is None
    assert bench.results() == whole


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_gap_concerns_what_touches_it_and_nothing_else(
    blocks: tuple[int, ...],
    samples: NDArray[np.float32],
    folder: Path,
    whole: dict[str, dict[int, Any]],
) -> None:
    """Half a second is lost at 5 s."""
    first, count = 80_000, 8000
    bench = Bench(Player("player", samples, blocks, ((first, count, "xrun"),)), folder)
    run_offline(bench.graph)
    results = bench.results()
    for end in (
        "mel.mel",
        "vggish.mel",
        "backbone.embeddings",
        "backbone.predictions",
        "heads.predictions",
    ):
        recorder = bench.recorders[end]
        (mark,) = [mark for mark in recorder.marks if isinstance(mark, Gap)]
        assert mark.source == (first, first + count)
        assert mark.reason == "xrun"
        touched = set(range(mark.start, mark.stop))
        assert touched
        changed = {n for n in whole[end] if results[end].get(n) != whole[end][n]}
        assert changed == touched, end
    stream = bench.recorders["backbone.embeddings"].port.reader.stream
    for token in range(mark.start, mark.stop):
        span = stream.span(token)
        # A frame hears half a window more than the place it is given.
        assert span[0] - 256 < first + count
        assert span[1] > first


def test_segments_of_nothing_are_skipped_and_counted(
    samples: NDArray[np.float32], folder: Path
) -> None:
    bench = Bench(Player("player", samples, (500,), ((32_000, 64_000, "reconnect"),)), folder)
    run_offline(bench.graph)
    skips = [
        mark for mark in bench.recorders["backbone.embeddings"].marks if isinstance(mark, Skip)
    ]
    skipped = {n for mark in skips for n in range(mark.start, mark.stop)}
    backbone = bench.graph.nodes["backbone"]
    assert backbone.counts == {"gap": len(skipped)}
    given = bench.recorders["backbone.embeddings"].tokens
    assert skipped.isdisjoint(given)
    assert sorted(skipped | set(given)) == list(range((626 - 40) // 13 + 1)), (
        "each is given or accounted for"
    )
    mel = 125 / 2
    for n in skipped:
        assert 2 * mel <= n * 13
        assert n * 13 + 40 <= 6 * mel + 2


def test_reset_forgets_everything(samples: NDArray[np.float32], folder: Path) -> None:
    """After a gap, smoothing is what it is for a stream that begins there."""
    bench = Bench(Player("player", samples, (500,), ((80_000, 100, "xrun"),)), folder)
    run_offline(bench.graph)
    raw, smooth = bench.results()["backbone.predictions"], bench.results()["tags.predictions"]
    (mark,) = bench.recorders["tags.predictions"].marks
    assert smooth[mark.start] == raw[mark.start], "the first one after a reset is its own median"
    assert smooth[mark.start - 1] != raw[mark.start - 1]
    ended = [
        e
        for token in bench.recorders["tags.events"].tokens.values()
        for e in token.events
        if e.reason
    ]
    assert {e.reason for e in ended} == {"gap", "end"}


def test_overloaded_live_source_skips_segments_and_no_samples(
    samples: NDArray[np.float32], folder: Path
) -> None:
    """No delay is allowed, so nothing is on time: all is skipped, counted and marked.

    The stream ends as any other does.
    """
    bench = Bench(Player("player", samples, (320,), live=True), folder)
    backbone = bench.graph.nodes["backbone"]
    assert isinstance(backbone, Backbone)
    backbone.deadline_s = 1e-9
    run_offline(bench.graph, Context("bench", live=True, place=Ladder().join()))
    total = (626 - 40) // 13 + 1
    assert backbone.counts.keys() <= {"overload", "hop"}, "all late, so the hop becomes longer too"
    assert backbone.counts.total() == total
    assert bench.recorders["backbone.embeddings"].tokens == {}
    assert len(bench.recorders["mel.mel"].tokens) == 626


def test_bad_stream_hurts_nobody_else(
    samples: NDArray[np.float32], folder: Path, whole: dict[str, dict[int, Any]]
) -> None:
    class Broken(Player):
        def process(self) -> Any:
            if self.given > 40_000:
                raise OSError("unplugged")
            return super().process()

    good = Bench(Player("player", samples, (320,)), folder)
    bad = Bench(Broken("player", samples, (320,)), folder)
    scheduler = LiveScheduler([bad.graph, good.graph], workers=1)
    scheduler.start()
    assert scheduler.wait(60)
    assert str(scheduler.runs[0].error) == "player: OSError: unplugged"
    assert good.results() == whole


class Endless(Player):
    """The same ten seconds again and again, with a gap in each, for a given number of times."""

    def __init__(self, name: str, samples: NDArray[np.float32], times: int) -> None:
        super().__init__(name, samples, (16_000,))
        self.times = times

    def process(self) -> Any:
        if self.given == len(self.tokens) and self.times > 1:
            self.times -= 1
            self.given = 0
            written = self.output.stream.written
            first = written - self.output.stream.start
            self.output.stream.mark(Gap(written, written + 100, "xrun", (first, first + 100)))
        return super().process()


@pytest.mark.slow
def test_memory_is_flat_over_hours(samples: NDArray[np.float32], folder: Path) -> None:
    """Three hours at full speed with a thousand gaps. After a tenth of it, nothing grows any more.

    The peak of the process may still move by what the allocator rounds up: less than 4 MB, where
    one float kept for each frame would be 2.7 MB and one small object for each segment 10 MB.
    """
    nodes: list[Node] = [
        Endless("player", samples, 1080),
        MelSpectrogram("mel"),
        Backbone("backbone", model=str(folder / "backbone")),
        Heads("heads", heads=[str(folder / "mood")]),
        Aggregator("tags", window_s=30, events=[{"label": "*", "above": 0.6}]),
        Counting("sink", Prediction),
        Counting("other", Prediction),
    ]
    edges = [("player", "mel"), ("mel", "backbone"), ("backbone.predictions", "tags")]
    edges += [("backbone.embeddings", "heads"), ("tags.predictions", "sink"), ("heads", "other")]
    graph = Graph("hours", nodes, edges)
    early = 0
    for number, _ in enumerate(passes(graph)):
        if number == 1080:
            early = peak_kb()
    assert number > 10_000
    frames = graph.nodes["mel"].outputs["mel"].stream.written
    assert frames == 1 + 1080 * 160_000 // 256
    assert peak_kb() - early < 4000


class Counting(Recorder):
    """Counts tokens and keeps none."""

    def process(self) -> Any:
        status = super().process()
        self.tokens.clear()
        self.marks.clear()
        return status


def peak_kb() -> int:
    """Most memory that this process has had, in kB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
