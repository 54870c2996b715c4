"""The log of `auricle run`: what it says of streams, and with which level."""

from __future__ import annotations

import logging
import time

import pytest

from auricle.cli.logs import StateLog
from auricle.engine.graph import Graph
from auricle.engine.run import Run
from auricle.errors import InputError
from auricle.service.streams import Retry, Stream
from tests.toys import Counter


def stream_in(state: str, error: str | None = None) -> Stream:
    source = Counter("a")
    source.warnings.append("cut off")
    run = Run(Graph("jazz", [source], []))
    retry = Retry(time.time() + 60, cancel=lambda: None) if state == "waiting" else None
    return Stream(None, run, state, error=InputError(error) if error else None, retry=retry)


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
        *RETRIES,
        ("WARNING", "jazz: cut off"),
        ("INFO", "jazz: finished"),
        ("WARNING", "jazz: cut off"),
        ("ERROR", "jazz: no such station"),
    ]


def test_of_a_single_one_no_more_than_the_command_says_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert shortened(logged(caplog, endings=False)) == RETRIES
