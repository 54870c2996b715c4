"""Backbones whose segments run together with those of other streams: the numbers of one alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.context import Context
from auricle.engine.overload import Ladder
from auricle.engine.run import State
from auricle.engine.scheduler import LiveScheduler, run_offline
from auricle.errors import AuricleError, ConfigError
from auricle.models.inference import batches
from auricle.models.inference.opening import LIVE_PLACES
from auricle.models.inference.owner import InferenceOwner
from auricle.models.patchout import Patchout
from tests.nodes.noise_stream import NoiseStream
from tests.tiny import GRID, LEVELS, make_backbone, make_transformer

TOLERANCE = 1e-5
"""Sums of some hundred products of the order of one, in the order that a batch of another size
gives.
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "plain": make_backbone(folder / "plain"),
        "patches": make_transformer(folder / "patches"),
    }


CASES = [
    ("plain", {}),
    ("patches", {}),
    ("patches", {"patchout": "least"}),
    ("plain", {"hop_size": 50}),
]


@pytest.mark.parametrize(("model", "params"), CASES)
@pytest.mark.parametrize("most", [1, 3, 16])
def test_file_gives_the_same(
    folders: dict[str, Path], model: str, params: dict[str, Any], most: int
) -> None:
    params = {"model": str(folders[model]), **params}
    for seed in range(3):
        plain, batched = NoiseStream(seed, **params), NoiseStream(seed, batch=most, **params)
        run_offline(plain.graph)
        run_offline(batched.graph)
        batched.assert_same(plain, TOLERANCE)


def test_many_live_streams_are_batched_and_give_the_same(folders: dict[str, Path]) -> None:
    """Two models, three levels, 24 streams that end at different times on two workers."""
    kinds: list[dict[str, Any]] = [
        {"model": str(folders["plain"])},
        *({"model": str(folders["patches"]), "patchout": level.name} for level in LEVELS),
    ]
    batched = [
        NoiseStream(
            seed,
            live=True,
            name=f"s{seed}",
            batch=4,
            batch_wait_s=0.02,
            deadline_s=10,
            **kinds[seed % 4],
        )
        for seed in range(24)
    ]
    scheduler = LiveScheduler([bench.graph for bench in batched], workers=2)
    scheduler.start()
    assert scheduler.wait(100)
    assert [run.error for run in scheduler.runs] == [None] * 24
    scheduler.close()
    for seed, found in enumerate(batched):
        plain = NoiseStream(seed, **kinds[seed % 4])
        run_offline(plain.graph)
        found.assert_same(plain, TOLERANCE)


def owner_of(bench: NoiseStream) -> InferenceOwner:
    """The owner that the backbone would join."""
    bench.backbone.start()
    assert bench.backbone._seat is not None
    owner = bench.backbone._seat.owner
    bench.backbone.stop()
    return owner


@pytest.fixture
def held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[dict[str, Any], threading.Event]]:
    """Parameters of a backbone whose owner runs nothing before the event is set, and one by one."""
    params: dict[str, Any] = {
        "model": str(make_backbone(tmp_path / "held")),
        "batch": 1,
        "deadline_s": 10.0,
    }
    owner = owner_of(NoiseStream(0, **params))
    gate, runner = threading.Event(), owner._runner
    run = runner.run

    def hold(*args: Any) -> Any:
        assert gate.wait(60)
        return run(*args)

    monkeypatch.setattr(runner, "run", hold)
    yield params, gate
    gate.set()


def test_a_stream_that_stops_with_segments_under_way_hurts_nobody(
    held: tuple[dict[str, Any], threading.Event],
) -> None:
    params, gate = held
    leaving, staying = (NoiseStream(n, live=True, name=f"s{n}", **params) for n in (1, 2))
    scheduler = LiveScheduler([leaving.graph, staying.graph])
    scheduler.start()
    while not (leaving.backbone.under_way and staying.backbone.under_way):
        assert not scheduler.wait(0.01), "both wait for the owner"
    assert scheduler.stop("s1")
    gate.set()
    assert scheduler.wait(60)
    assert [run.state for run in scheduler.runs] == [State.STOPPED, State.FINISHED]
    scheduler.close()
    plain = NoiseStream(2, model=params["model"])
    run_offline(plain.graph)
    staying.assert_same(plain, TOLERANCE)


def test_a_live_stream_has_few_segments_under_way(
    held: tuple[dict[str, Any], threading.Event],
) -> None:
    params, gate = held
    bench = NoiseStream(0, live=True, **params)
    scheduler = LiveScheduler([bench.graph])
    scheduler.start()
    while bench.backbone.under_way < LIVE_PLACES:
        assert not scheduler.wait(0.01)
    assert not scheduler.wait(0.2)
    assert bench.backbone.under_way == bench.backbone.places == LIVE_PLACES
    gate.set()
    assert scheduler.wait(60)
    scheduler.close()


def test_a_failing_accelerator_is_reported_once_a_stream_and_others_continue(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: dict[str, Any] = {"model": str(make_backbone(tmp_path / "broken")), "batch": 4}

    def fail(*args: Any) -> Any:
        raise RuntimeError("device\nlost")

    monkeypatch.setattr(owner_of(NoiseStream(0, **broken))._runner, "run", fail)
    bad = [NoiseStream(n, live=True, name=f"bad{n}", **broken) for n in range(3)]
    good = NoiseStream(3, live=True, name="good", model=str(folders["plain"]), batch=4)
    scheduler = LiveScheduler([*(bench.graph for bench in bad), good.graph])
    scheduler.start()
    assert scheduler.wait(60)
    assert [str(run.error) for run in scheduler.runs[:3]] == [
        "backbone: tiny: inference failed: device lost"
    ] * 3
    assert scheduler.runs[3].error is None
    scheduler.close()


def test_what_was_not_begun_in_time_is_skipped_and_counted(
    held: tuple[dict[str, Any], threading.Event],
) -> None:
    params, gate = held
    bench = NoiseStream(0, live=True, **{**params, "deadline_s": 0.2})
    scheduler = LiveScheduler([bench.graph])
    scheduler.start()
    while bench.backbone.under_way < LIVE_PLACES:
        assert not scheduler.wait(0.01)
    assert not scheduler.wait(0.5)  # longer than the deadline
    gate.set()
    assert scheduler.wait(60)
    scheduler.close()
    assert scheduler.runs[0].error is None
    stream = bench.backbone.outputs["embeddings"].stream
    assert bench.backbone.counts["overload"] > 0
    assert 1 in dict(mark for mark in bench.marks() if len(mark) == 2), (
        "it waited behind the first for long"
    )
    skipped = {mark[0] for mark in bench.marks() if len(mark) == 2}
    assert sorted(skipped | bench.embeddings.tokens.keys()) == list(range(stream.written))
    assert sum(bench.backbone.counts.values()) == len(skipped)


def test_levels_change_among_those_that_were_warmed_up(folders: dict[str, Path]) -> None:
    bench = NoiseStream(0, model=str(folders["patches"]), batch=2, patchout={"keep_every": 5})
    backbone = bench.backbone
    every_seventh = {"keep_every": 7}
    assert backbone.levels.validate(every_seventh) == (Patchout(keep_every=7),), (
        "before it runs, any will do"
    )
    backbone.start()
    for patchout in (
        "full",
        "half",
        "least",
        {"keep_every": 5},
        {"keep_every": 3, "drop_rows": (0, 7, 8)},
    ):
        backbone.change_patchout(patchout)()
    with pytest.raises(
        ConfigError, match=r"every 7 was not warmed up.*; levels are: full, half, least"
    ):
        backbone.change_patchout(every_seventh)
    owner = backbone._seat.owner if backbone._seat else None
    assert owner is not None
    assert all(owner.is_warm(GRID.kept(level)) for level in LEVELS)
    backbone.stop()
    backbone.stop()


def test_adaptive_hands_out_for_the_level_of_the_rung(folders: dict[str, Path]) -> None:
    ladder = Ladder()
    backbone = NoiseStream(0, True, model=str(folders["patches"]), batch=2, adaptive=True).backbone
    backbone.context = Context(live=True, place=ladder.join())
    backbone.start()
    for rung, level in enumerate([*LEVELS, LEVELS[-1]]):
        ladder.rung = rung
        request = backbone.hand_out(np.zeros((76, 96), np.float32))
        assert request.kept == GRID.kept(level)
        assert backbone.level == level.name
    backbone.stop()


def test_statistics_say_how_segments_were_batched(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = NoiseStream(0, model=str(folders["plain"]), batch=5, batch_wait_s=0.25)
    bench.backbone.start()
    before = bench.backbone.statistics()["batches"]
    bench.backbone.stop()
    seen: dict[str, Any] = {}
    stop = bench.backbone.stop

    def look() -> None:
        seen.update(seen or bench.backbone.statistics())
        stop()

    monkeypatch.setattr(bench.backbone, "stop", look)
    run_offline(bench.graph)
    assert before == {}
    assert sum(int(size) * count for size, count in seen["batches"].items()) == len(
        bench.embeddings.tokens
    )
    assert set(seen["batches"]) <= set("12345")
    assert seen["wait_ms"] >= 0
    assert seen["incremental"] is False
    assert bench.backbone.elsewhere_ns["inference"] > 0


def test_one_file_fills_its_batches(folders: dict[str, Path]) -> None:
    """Its streams have room for what is under way; otherwise each batch would wait its time out."""
    bench = NoiseStream(0, model=str(folders["plain"]), batch=16, batch_wait_s=1.0, hop_size=5)
    bench.backbone.start()
    assert bench.backbone._seat is not None
    owner = bench.backbone._seat.owner
    bench.backbone.stop()
    run_offline(bench.graph)
    assert len(bench.embeddings.tokens) > 32
    assert "16" in owner.statistics()["batches"]


@pytest.mark.parametrize("model", ["plain", "patches"])
def test_a_segment_that_is_no_music_changes_no_other(folders: dict[str, Path], model: str) -> None:
    """Whatever a stream hands in, zeros or NaN, its neighbours get what they get alone."""
    backbone = NoiseStream(0, model=str(folders[model])).backbone
    names = backbone._outputs.names
    runner = batches.open_runner(folders[model], ("CPUExecutionProvider",), 1, names)
    kept = GRID.kept(LEVELS[1]) if model == "patches" else None
    segments = (
        np.random.default_rng(0).normal(size=(4, backbone.segment_size, 96)).astype(np.float32)
    )
    segments[1], segments[2], segments[2, 7] = np.nan, 0, np.inf
    together = runner.run(segments, kept)
    for row in (0, 3):
        alone = runner.run(segments[row : row + 1], kept)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one[row], other[0], rtol=0, atol=TOLERANCE)
    assert np.isnan(together[0][1]).all()


def test_streams_share_an_owner(folders: dict[str, Path]) -> None:
    one, other = (NoiseStream(n, model=str(folders["plain"]), batch=3) for n in (0, 1))
    assert owner_of(one) is owner_of(other)
    assert owner_of(NoiseStream(0, model=str(folders["plain"]), batch=4)) is not owner_of(one)


def test_what_is_quantised_together_is_run_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_transformer(tmp_path / "int8")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "precision": "int8"}))
    owner = owner_of(NoiseStream(0, model=str(folder), batch=8))
    assert owner.sizes == (1,)
    assert caplog.messages == [
        "tiny: batches of 1, not of up to 8: segments of a batch would be quantised together"
    ]


def test_a_model_that_cannot_be_run_in_batches_is_an_error_in_one_line(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(batches.OnnxRunner):
        def run(self, *args: Any) -> list[NDArray[np.float32]]:
            raise RuntimeError("no\nmemory")

    monkeypatch.setattr(batches, "OnnxRunner", Broken)
    bench = NoiseStream(0, model=str(make_backbone(tmp_path / "broken")), batch=2)
    with pytest.raises(
        AuricleError, match=r"^backbone: tiny: a batch of 1 cannot be run: no memory$"
    ):
        bench.backbone.start()
