"""What `Rise` computes from two levels of one source."""

from __future__ import annotations

import numpy as np
import pytest
from level import Level
from rise import Rise

from auricle.engine.graph import Graph
from auricle.engine.marks import Skip
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import CUTS, Player, Recorder

STEP = np.repeat(np.float32([0.01, 0.1]), 16000)
"""A second at -40 dBFS, then one at -20."""


def rise(blocks: tuple[int, ...]) -> Recorder:
    """Play the step in blocks of these sizes; levels every 0.1 s, the background every second."""
    recorder = Recorder("recorder")
    nodes = [
        Player("player", STEP, blocks),
        Level("level"),
        Level("background", frame_size=16000),
        Rise("rise"),
        recorder,
    ]
    edges = [
        ("player", "level"),
        ("player", "background"),
        ("level", "rise.level"),
        ("background", "rise.background"),
        ("rise", "recorder"),
    ]
    run_offline(Graph("test", nodes, edges))
    return recorder


@pytest.mark.parametrize("blocks", CUTS)
def test_it_rises_by_20_db_until_the_background_follows(blocks: tuple[int, ...]) -> None:
    found = rise(blocks)
    expected = {9: 0.0, **dict.fromkeys(range(10, 19), 20.0), 19: 0.0}
    assert {number: token.item() for number, token in found.tokens.items()} == pytest.approx(
        expected, abs=0.01
    )


def test_there_is_nothing_before_the_first_background() -> None:
    assert rise((1024,)).places(Skip) == {(number, "early") for number in range(9)}
