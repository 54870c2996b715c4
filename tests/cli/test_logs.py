"""The log of `auricle run`: what it says of streams, and with which level."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auricle.cli.logs import StateLog
from auricle.engine.graph import Graph
from auricle.engine.run import Run
from auricle.errors import InputError
from auricle.service.restart import RestartPolicy
from auricle.service.streams import Stream
from tests.cli.command import auricle
from tests.cli.test_tag import lines, noise
from tests.tiny import make_backbone
from tests.toys import Counter


def stream_in(state: str, error: str | None = None) -> Stream:
    source = Counter("a")
    source.warnings.append("cut off")
    run = Run(Graph("jazz", [source], []))
    retry_at = time.time() + 60 if state == "waiting" else None
    reason = InputError(error) if error else None
    return Stream(None, run, RestartPolicy(), state, error=reason, retry_at=retry_at)


def logged(caplog: pytest.LogCaptureFixture, endings: bool) -> list[tuple[str, str]]:
    """Level and text of what is logged while a stream comes and goes."""
    caplog.set_level(logging.INFO, "auricle")
    note = StateLog(endings)
    for state, error in [
        ("opening", None),
        ("running", None),
        ("waiting", "off the air"),
        ("opening", None),
        ("running", None),
        ("finished", None),
        ("failed", "no such station"),
        ("stopped", None),
    ]:
        note(stream_in(state, error))
    return [(record.levelname, record.getMessage()) for record in caplog.records]


RETRIES = [("WARNING", "jazz: off the air; next try in"), ("INFO", "jazz: running again")]


def shortened(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the time of the next try, which depends on when it is read."""
    return [(level, text.partition(" in ")[0] + " in" * (" in " in text)) for level, text in lines]


def test_of_many_streams_everything_that_matters(caplog: pytest.LogCaptureFixture) -> None:
    assert shortened(logged(caplog, endings=True)) == [
        ("INFO", "jazz: running"),
        *RETRIES,
        ("WARNING", "jazz: cut off"),
        ("INFO", "jazz: finished"),
        ("WARNING", "jazz: cut off"),
        ("ERROR", "jazz: no such station"),
        ("INFO", "jazz: stopped"),
    ]


def test_of_a_single_one_no_more_than_the_command_says_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert shortened(logged(caplog, endings=False)) == RETRIES


def graph_of_a_file(folder: Path) -> Path:
    """A graph that plays a file as fast as it goes and publishes nothing."""
    make_backbone(folder / "tiny")
    noise(folder / "sound.wav", seconds=1)
    graph = folder / "graph.yaml"
    graph.write_text(
        """
stream: jazz
nodes:
  - {id: input, class: FileInput, params: {path: sound.wav}}
  - {id: mel, class: MelSpectrogram, params: {front_end: musicnn}}
  - {id: backbone, class: Backbone, params: {model: ./tiny}}
  - {id: publish, class: Publisher}
edges: [input -> mel -> backbone.predictions -> publish.predictions]
"""
    )
    return graph


def test_everything_is_json_for_programs_that_collect_logs(tmp_path: Path) -> None:
    """Also what the command itself has to say, and the error that ends it."""
    graph = graph_of_a_file(tmp_path)
    result = auricle("--log-json", "--debug", "run", graph)
    assert result.returncode == 0, result.stderr
    records = lines(result.stderr)
    assert all(list(each)[:4] == ["time", "level", "logger", "message"] for each in records)
    assert any(each["message"].startswith("stream jazz; ") for each in records)
    (tmp_path / "sound.wav").write_text("not audio")
    failed = auricle("--log-json", "run", graph)
    assert failed.returncode == 1
    assert [each["level"] for each in lines(failed.stderr)][-1] == "ERROR"
    assert "sound.wav" in lines(failed.stderr)[-1]["message"]


def test_debug_says_what_happens(tmp_path: Path) -> None:
    result = auricle("--debug", "run", graph_of_a_file(tmp_path))
    for node in ("input", "mel", "backbone", "publish"):
        assert f"jazz: {node} opened in" in result.stderr
    assert "tiny: " in result.stderr


def test_a_screen_says_what_is_loaded(tmp_path: Path) -> None:
    """Nothing of it in a pipe or a log file."""
    graph = graph_of_a_file(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "auricle", "run", str(graph)]
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end was closed
            while part := os.read(ours, 4096):
                shown += part
        assert process.wait(500) == 0
    os.close(ours)
    text = shown.decode()
    assert text.index(f"loading {graph}") < text.index("opening model ./tiny, ")
    assert "loading" not in auricle("run", graph).stderr
