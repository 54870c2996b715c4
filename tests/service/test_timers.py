"""Timers: in order, cancelled, closed, and no thread without any."""

from __future__ import annotations

import queue
import threading

import pytest

from auricle.service.timers import Timers


@pytest.fixture
def rung() -> queue.Queue[str]:
    return queue.Queue()


def test_each_goes_off_at_its_time(rung: queue.Queue[str]) -> None:
    timers = Timers()
    timers.after(0.02, lambda: rung.put("late"))
    timers.after(0, lambda: rung.put("early"))
    assert [rung.get(timeout=500) for _ in range(2)] == ["early", "late"]
    timers.after(0, lambda: rung.put("afterwards"))
    assert rung.get(timeout=500) == "afterwards", "also when there were none for a while"
    timers.close()


def test_a_cancelled_one_does_not(rung: queue.Queue[str]) -> None:
    timers = Timers()
    cancel = timers.after(0.01, lambda: rung.put("cancelled"))
    timers.after(0.02, lambda: rung.put("kept"))
    cancel()
    assert rung.get(timeout=500) == "kept"
    cancel()
    timers.close()
    assert rung.empty()


def test_one_that_fails_keeps_no_other_from_going_off(rung: queue.Queue[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    timers = Timers()
    timers.after(0, fail)
    timers.after(0.001, lambda: rung.put("next"))
    assert rung.get(timeout=500) == "next"
    timers.close()


def test_closing_waits_for_the_one_at_work_and_drops_the_others(rung: queue.Queue[str]) -> None:
    timers, inside, leave = Timers(), threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        assert leave.wait(30)
        rung.put("worked")

    timers.after(0, work)
    timers.after(0, lambda: rung.put("dropped"))
    assert inside.wait(30)
    closing = threading.Thread(target=timers.close)
    closing.start()
    leave.set()
    closing.join(30)
    assert rung.get_nowait() == "worked"
    timers.after(0, lambda: rung.put("too late"))
    assert rung.empty()
