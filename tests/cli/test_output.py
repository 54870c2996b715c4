"""Others' words on a terminal: names, titles, labels, errors and logs with escape sequences."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from auricle.cli.live_view import LiveView
from auricle.cli.logging_setup import PlainRecord
from auricle.cli.output import say
from auricle.cli.stream_table import print_streams
from auricle.cli.views import JsonView, PlainView
from auricle.errors import AuricleError, escaped, one_line
from auricle.wire.messages import Error, Event, Message, Prediction
from tests.cli.command import auricle
from tests.conftest import ROOT
from tests.tiny import make_backbone
from tests.wire.samples import COMPUTED, HEAD

EVIL = "\x1b]0;pwned\x07\x9b31m\u202egpj.exe"

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.mark.parametrize("text", [EVIL, "a\0b", "\x7f", "\u2028", "\udcff", "\x85"])
def test_control_characters_are_escaped(text: str) -> None:
    assert escaped(text).isprintable()
    assert str(AuricleError(text)).isprintable()
    assert one_line(ValueError(text)).isprintable()


def test_other_characters_stay_as_they_are() -> None:
    name = "Björk \u2013 \u0db8\u0dca\u200d\u0dba \U0001f3b5 \u05d0"
    assert escaped(name) == name
    assert escaped("a\nb\tc", "\n\t") == "a\nb\tc"


def test_escaped_json_is_the_same_json() -> None:
    text = json.dumps({"title": f"a{EVIL}"}, ensure_ascii=False)
    assert json.loads(escaped(text)) == {"title": f"a{EVIL}"}


def test_an_error_is_one_line_of_bounded_length() -> None:
    error = str(AuricleError("a\n  b" + "c" * 10**6))
    assert error.startswith("a bccc")
    assert len(error) == 1000


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What Rich has drawn."""
    file = io.StringIO()
    console = Console(file=file, width=200)
    monkeypatch.setattr("rich.console.Console", lambda *args, **kwargs: console)
    return file.getvalue


def evil_messages() -> list[Message]:
    head: dict[str, Any] = HEAD
    return [
        Prediction(stream="a", **COMPUTED, **head, activations=[(EVIL, 0.5)]),
        Event(
            stream="a",
            **COMPUTED,
            **head,
            label=EVIL,
            change="on",
            at=1.0,
            at_sample=1,
            at_utc=1.0,
            activation=0.5,
        ),
        Error(stream="a", error=EVIL),
    ]


@pytest.mark.parametrize("kind", [PlainView, JsonView])
def test_what_is_listened_to(
    kind: type[PlainView] | type[JsonView], capsys: pytest.CaptureFixture[str]
) -> None:
    view = kind()
    for message in evil_messages():
        view.show(message, {})
    out = capsys.readouterr().out
    assert "pwned" in out
    assert not RAW.search(out)


def test_what_is_shown_live() -> None:
    file = io.StringIO()
    view = LiveView(threading.Event(), Console(file=file, width=200))
    for message in evil_messages():
        view.show(message, {})
    view.tick(10.0, EVIL)
    view.close()
    assert "pwned" in file.getvalue()
    assert not RAW.search(file.getvalue())


def test_the_table_of_streams(drawn: Callable[[], str]) -> None:
    print_streams({EVIL: {"state": EVIL, "counts": {EVIL: 1}, "error": EVIL}})
    assert "pwned" in drawn()
    assert not RAW.search(drawn())


def test_the_log() -> None:
    record = PlainRecord("x", logging.INFO, "f.py", 1, "%s: failed", (EVIL,), None)
    assert not RAW.search(record.getMessage())


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "info", "{model}"],
        ["tag", "{file}"],
        ["graph", "check", "{file}"],
        ["run", "demo", "--set", f"wire.publish={EVIL}"],
        [f"no{EVIL}"],
    ],
)
def test_commands(tmp_path: Path, arguments: list[str]) -> None:
    """Names of files, titles of models, and what is wrong with them."""
    model = make_backbone(tmp_path / "tiny")
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, "description": EVIL}))
    file = tmp_path / f"{EVIL}.wav"
    file.write_bytes(b"no sound")
    result = auricle(*(each.format(model=model, file=file) for each in arguments))
    assert "pwned" in result.stdout + result.stderr
    assert not RAW.search(result.stdout + result.stderr)


def test_everything_is_said_in_one_place() -> None:
    """No command prints past `say` and `words`, which escape."""
    outside = r"\bclick\.(?:echo|secho)\(|(?<![.\w])print\(|\bText\("
    for path in sorted((ROOT / "auricle" / "cli").glob("*.py")):
        if path.name != "output.py":
            assert not re.search(outside, path.read_text()), path


def test_say_prints_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a\n\tb{EVIL}")
    assert capsys.readouterr().out == f"a\n\tb{escaped(EVIL)}\n"
