"""The terminal of `auricle listen`: rows that stay, what fits on the screen, states, keys."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
import threading
from typing import Any

import pytest
from rich.console import Console

from auricle.cli.board import Rows
from auricle.cli.keyboard import Keyboard
from auricle.cli.live_view import LiveView
from auricle.wire.messages import Prediction
from tests.wire.samples import end, error, event, prediction, state

MANY = [(f"label {number}", 0.9 - number / 20) for number in range(12)]


def heard(stream: str, head: str = "tags", labels: Any = MANY) -> Prediction:
    return prediction(stream=stream, head=head, activations=labels)


def lines(view: LiveView, width: int, height: int) -> list[str]:
    """What the view shows on a screen of this size, as lines without the spaces at their ends."""
    screen = Console(width=width, height=height, file=io.StringIO(), record=True)
    view._console = screen
    screen.print(view._picture())
    return [line.rstrip() for line in screen.export_text().splitlines()]


@pytest.fixture
def view() -> LiveView:
    view = LiveView(console=Console(file=io.StringIO(), width=80, height=24))
    view.close()
    return view


def test_a_label_keeps_its_row_while_it_is_among_the_strongest() -> None:
    rows = Rows()
    assert rows.update([("a", 0.9), ("b", 0.8), ("c", 0.1)], 2) == ["a", "b"]
    assert rows.update([("b", 0.9), ("a", 0.8), ("c", 0.1)], 2) == ["a", "b"]
    assert rows.update([("c", 0.9), ("b", 0.8), ("a", 0.1)], 2) == ["c", "b"], "in its row"
    assert rows.update([("b", 0.8), ("a", 0.5), ("c", 0.45)], 2) == ["c", "b"], "hardly weaker"
    assert rows.update([("d", 0.8), ("e", 0.5)], 2) == ["d", "e"], "the others are gone"
    assert rows.update([], 2) == []


def test_columns_are_as_wide_as_the_longest_label_so_far(view: LiveView) -> None:
    long = "a label that is longer than any column of twenty"
    view.show(heard("a", labels=[(long, 0.5), ("short", 0.25)]), {})
    found = lines(view, 100, 24)
    (row,) = [line for line in found if "short" in line]
    (other,) = [line for line in found if long in line]
    assert row.index("0.25") == other.index("0.50")
    view.show(heard("a", labels=[("short", 0.25)]), {})
    (later,) = [line for line in lines(view, 100, 24) if "short" in line]
    assert later.index("0.25") == row.index("0.25")


def test_panels_are_side_by_side_where_there_is_room(view: LiveView) -> None:
    for head in ("tags", "mood"):
        view.show(heard("a", head), {})
    wide = lines(view, 160, 24)
    assert "a/tags" in wide[0]
    assert "a/mood" in wide[0]
    narrow = lines(view, 80, 24)
    assert "a/mood" not in narrow[0]
    assert any("a/mood" in line for line in narrow)
    assert max(map(len, narrow)) <= 80


@pytest.mark.parametrize("streams", [1, 3, 10, 100])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (40, 10)])
def test_everything_fits_and_the_footer_is_always_there(
    view: LiveView, streams: int, width: int, height: int
) -> None:
    for number in range(streams):
        for head in ("tags", "mood"):
            view.show(heard(f"station-{number}", head), {})
    for _ in range(10):
        view.show(event(stream="station-0"), {})
    view.tick(12.0, "the engine asks for keys")
    found = lines(view, width, height)
    assert len(found) <= height
    assert max(map(len, found)) <= width
    assert any("silent for 12 s" in line for line in found)
    assert "predictions, 0 messages" in found[-1] or "predictions, 0 messages" in found[-2]
    assert "station-0" in " ".join(found)
    if streams == 100:
        (more,) = [line for line in found if line.startswith("and ")]
        shown = sum(line.startswith("station-") and "/" not in line for line in found)
        assert more == f"and {100 - shown} more"


def test_each_of_many_streams_shows_its_state(view: LiveView) -> None:
    for number in range(12):
        view.show(heard(f"station-{number}"), {})
    view.show(state(stream="station-1"), {})
    view.show(error(stream="station-2"), {})
    view.show(end(stream="station-3", reason="finished"), {})
    view.show(state(stream="station-12", state="opening", error=None), {})
    rows = {line.split()[0]: line for line in lines(view, 100, 24) if line.startswith("station")}
    assert rows["station-0"].split()[1:4] == ["running", "4.0", "label"]
    assert "waiting" in rows["station-1"]
    assert "no route to host" in rows["station-1"]
    assert "failed" in rows["station-2"]
    assert "input: the line was cut" in rows["station-2"]
    assert "finished" in rows["station-3"]
    assert rows["station-12"].split()[1:] == ["opening"]
    view.show(heard("station-2"), {})
    again = [line for line in lines(view, 100, 24) if line.startswith("station-2 ")]
    assert "running" in again[0], "it was added again"


def test_keys_pause_sort_and_quit() -> None:
    stop = threading.Event()
    view = LiveView(stop, Console(file=io.StringIO(), width=80, height=24))
    view.close()
    view.show(heard("a", labels=[("x", 0.9), ("y", 0.8)]), {})
    lines(view, 80, 24)
    view.show(heard("a", labels=[("y", 0.9), ("x", 0.7)]), {})

    def order() -> list[str]:
        found = lines(view, 80, 24)
        return [line.split()[1] for line in found if line[2:4] in ("x ", "y ")]

    assert order() == ["x", "y"]
    view.press("s")
    assert order() == ["y", "x"]
    view.press("p")
    view.show(heard("a", labels=[("x", 0.9), ("y", 0.1)]), {})
    assert order() == ["y", "x"]
    assert any(line.startswith("paused") for line in lines(view, 80, 24))
    view.press(" ")
    view.press("?")
    assert not stop.is_set()
    view.press("q")
    assert stop.is_set()


def test_keys_are_read_from_a_terminal_of_ours_and_it_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
        before = termios.tcgetattr(theirs)
        keyboard = Keyboard()
        assert keyboard.works
        assert keyboard.pressed() == ""
        os.write(ours, b"sq")
        pressed = ""
        while len(pressed) < 2:
            pressed += keyboard.pressed()
        assert pressed == "sq"
        keyboard.close()
        keyboard.close()
        assert termios.tcgetattr(theirs) == before
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
        assert not Keyboard().works, "a process in the background leaves the terminal alone"
    os.close(ours)


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("q"))
    keyboard = Keyboard()
    assert not keyboard.works
    assert keyboard.pressed() == ""
