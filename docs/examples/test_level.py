"""What `Level` computes, and that it keeps the promises of every node."""

from __future__ import annotations

import numpy as np
import pytest
from level import Level

from auricle.engine.testing import check_promises, play
from auricle.errors import ConfigError

SECOND = np.arange(16000) / 16000


def test_a_full_scale_sine_is_at_minus_3_db() -> None:
    sine = np.sin(2 * np.pi * 440 * SECOND).astype(np.float32)
    level = play(Level("level"), sine)["level"]
    assert len(level.tokens) == 10
    assert level.tokens[0] == pytest.approx([-3.01], abs=0.01)


def test_silence_is_at_the_floor() -> None:
    level = play(Level("level", floor_db=-90), np.zeros(1600, np.float32))["level"]
    assert level.tokens[0] == pytest.approx([-90])


def test_a_window_has_samples() -> None:
    with pytest.raises(ConfigError, match="frame_size=0"):
        Level("level", frame_size=0)


def test_it_keeps_the_promises_of_every_node() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)
    check_promises(lambda: Level("level"), noise, gaps=[(5000, 300, "xrun")])
