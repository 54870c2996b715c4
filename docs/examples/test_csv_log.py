"""What `CsvLog` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from csv_log import CsvLog
from level import Level

from auricle.engine.graph import Graph
from auricle.engine.scheduler import run_offline
from auricle.engine.testing import Player
from auricle.errors import ConfigError


def write(path: Path) -> None:
    """Write the levels of three tenths of a second of silence."""
    nodes = [
        Player("player", np.zeros(4800, np.float32)),
        Level("level"),
        CsvLog("log", path=path, digits=1),
    ]
    run_offline(Graph("test", nodes, [("player", "level"), ("level", "log")]))


def test_a_line_has_time_and_level(tmp_path: Path) -> None:
    write(tmp_path / "level.csv")
    lines = (tmp_path / "level.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["0.0,-100.0", "0.1,-100.0", "0.2,-100.0"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log: path='.*/missing/level.csv': No such file"):
        write(tmp_path / "missing/level.csv")
