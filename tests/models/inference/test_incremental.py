"""Sharing work between segments changes no number, and is shared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auricle.engine.graph import Graph
from auricle.engine.marks import Skip
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player, Recorder
from auricle.models.inference.incremental import (
    IncrementalInference,
    SplitSession,
    open_split_session,
)
from auricle.nodes.backbone import Backbone
from auricle.nodes.mel_spectrogram import MelSpectrogram
from auricle.nodes.predictions import Prediction
from tests.tiny import make_backbone

SEGMENT = 40

TOLERANCE = 1e-5
"""See tests/models/test_incremental.py."""

GAPS = ((40_000, 30_000, "xrun"), (100_000, 50, "hole"))
"""Longer than a segment, so that some are skipped; and shorter."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def samples() -> NDArray[np.float32]:
    return np.random.default_rng(4).uniform(-0.5, 0.5, 160_000).astype(np.float32)


def results(
    samples: NDArray[np.float32], blocks: tuple[int, ...], gaps: Any = GAPS, **params: Any
) -> tuple[dict[int, NDArray[Any]], dict[int, NDArray[Any]], list[int]]:
    """Activations and embeddings by segment, and the segments that were skipped."""
    predictions, embeddings = Recorder("p", Prediction), Recorder("e")
    player = Player("in", samples, blocks, gaps)
    nodes = [player, MelSpectrogram("mel"), Backbone("b", **params), predictions, embeddings]
    edges = [("in", "mel"), ("mel", "b"), ("b.predictions", "p"), ("b.embeddings", "e")]
    run_offline(Graph("g", nodes, edges))
    skipped = [
        n
        for mark in embeddings.marks
        if isinstance(mark, Skip)
        for n in range(mark.start, mark.stop)
    ]
    activations = {n: token.scores[0].activations for n, token in predictions.tokens.items()}
    return activations, embeddings.tokens, skipped


@pytest.mark.parametrize("hop_size", [1, 7, 8, 13, 24, 30, 33, 40, 50])
def test_equals_computing_in_full(samples: NDArray[np.float32], tiny: Path, hop_size: int) -> None:
    """Hops for which three, two, one and none of the layers are shared, and gaps."""
    params = {"model": str(tiny), "hop_size": hop_size}
    full = results(samples, (10**9,), incremental=False, **params)
    assert full[2], "segments inside the gap are skipped"
    for blocks in ((10**9,), (320,), (5000, 100)):
        shared = results(samples, blocks, **params)
        assert shared[2] == full[2]
        for got, expected in zip(shared[:2], full[:2], strict=True):
            assert got.keys() == expected.keys()
            for n in expected:
                np.testing.assert_allclose(got[n], expected[n], rtol=TOLERANCE, atol=TOLERANCE)


def test_equals_computing_in_full_with_real_weights(
    samples: NDArray[np.float32], musicnn: str
) -> None:
    for hop_size in (16, 93):
        params = {"model": musicnn, "hop_size": hop_size, "gaps": ()}
        full = results(samples, (320,), incremental=False, **params)
        shared = results(samples, (320,), **params)
        for got, expected in zip(shared[:2], full[:2], strict=True):
            assert got.keys() == expected.keys()
            assert got
            for n in expected:
                np.testing.assert_allclose(got[n], expected[n], rtol=TOLERANCE, atol=TOLERANCE)


class CountingSession:
    """Counts the columns that a front computes."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.columns = 0

    def run(self, names: Any, inputs: Any) -> list[NDArray[Any]]:
        results: list[NDArray[Any]] = self._session.run(names, inputs)
        self.columns += results[0].shape[2]
        return results


@pytest.mark.parametrize(
    ("hop_size", "skipped"), [(13, ()), (24, ()), (7, (3, 4)), (13, range(2, 9))]
)
def test_each_column_is_computed_once(tiny: Path, hop_size: int, skipped: Any) -> None:
    session = open_split_session(tiny, hop_size, ("cpu",), 1)
    assert session is not None
    front = CountingSession(session.front)
    counted = SplitSession(
        front, session.back, session.input, session.history, session.width, session.channels
    )
    inference = IncrementalInference(counted, SEGMENT, hop_size)
    mel = np.random.default_rng(5).uniform(0, 4, (400, 96)).astype(np.float32)
    needed = set()
    for n in range(12):
        if n not in skipped:
            first = n * hop_size
            inference.run(["activations"], first, mel[first : first + SEGMENT])
            needed |= set(range(first + SEGMENT - session.width, first + SEGMENT))
    assert front.columns == len(needed)


def test_work_is_done_before_the_segment_is_complete(tiny: Path) -> None:
    session = open_split_session(tiny, 13, ("cpu",), 1)
    assert session is not None
    inference = IncrementalInference(session, SEGMENT, 13)
    mel = np.random.default_rng(5).uniform(0, 4, (400, 96)).astype(np.float32)
    inference.run(["activations"], 0, mel[:SEGMENT])
    assert not inference.advance(13, mel[13 : 13 + SEGMENT - 1]), "a hop is one chunk here"
    assert inference.advance(13, mel[13 : 13 + SEGMENT])
    assert not inference.advance(13, mel[13 : 13 + SEGMENT]), "all is done"
