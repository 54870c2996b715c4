"""The ladder, on a simulated clock: streams whose windows take longer than there is time for."""

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest

from auricle.engine.overload import HOLD_S, LONGEST_HOLD_S, PARTS, QUIET_S, Ladder, Member


class Machine:
    """Serves windows of streams one after the other, on a clock that only work and waiting move.

    Every stream has a window every second, due to be begun within a second.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, streams: int, work_s: float) -> None:
        self.ladder = Ladder()
        self.members = [self.ladder.join() for _ in range(streams)]
        self.now = 1000.0
        self.work_s = work_s
        self.cost: Callable[[int], float] = lambda n: 1.0
        self.next = [0] * streams
        self.served = [0] * streams
        self.left_out = [0] * streams
        self.late = [0] * streams
        self.rungs: list[tuple[float, int]] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            before = self.now
            for n in range(len(self.members)):
                self._visit(n)
            if self.now == before:
                self.now += 0.01
            if not self.rungs or self.rungs[-1][1] != self.ladder.rung:
                self.rungs.append((self.now, self.ladder.rung))

    def _visit(self, n: int) -> None:
        complete = 1000.0 + n / len(self.members) + self.next[n]
        if complete > self.now:
            return
        self.next[n] += 1
        if self.members[n].leave_out(1):
            self.left_out[n] += 1
        elif self.members[n].begin(self.now - complete, 1.0):
            self.now += self.work_s * self.cost(n)
            self.served[n] += 1
        else:
            self.late[n] += 1


def test_what_is_left_out_stays_the_same_when_cheaper_ways_come_and_go() -> None:
    ladder = Ladder()
    clever, plain = ladder.join(), ladder.join()
    clever.offer(4)
    ladder.rung = 4
    clever.offer(0)
    assert (ladder.rung, ladder.part) == (0, 1), "the cheapest way left nothing out"
    clever.offer(4)
    ladder.rung = 6
    assert (ladder.part, clever.level, plain.level) == (3, 4, 0)
    ladder.leave(clever)
    assert (ladder.rung, ladder.part) == (2, 3)
    ladder._holds_s[2] = LONGEST_HOLD_S
    plain.offer(1)
    assert (ladder.part, plain.level) == (3, 1)
    assert ladder._holds_s[2] == HOLD_S, "of another rung by that number"


def test_nothing_is_left_out_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 20, 0.045)  # 0.9 of what it can do
    machine.run(120)
    assert [rung for _, rung in machine.rungs] == [0]
    assert sum(machine.left_out) + sum(machine.late) == 0


@pytest.mark.parametrize(
    ("streams", "load"),
    [(1, 1.2), (1, 2.0), (7, 1.2), (7, 5.0), (50, 1.2), (50, 2.0), (50, 5.0), (50, 12.0)],
)
def test_too_much_is_left_out_fairly(
    monkeypatch: pytest.MonkeyPatch, streams: int, load: float
) -> None:
    machine = Machine(monkeypatch, streams, load / streams)
    machine.run(300)
    offered = [
        s + o + late
        for s, o, late in zip(machine.served, machine.left_out, machine.late, strict=True)
    ]
    assert offered == machine.next, "each window is served, left out or late"
    mean = sum(machine.served) / streams
    assert all(abs(served - mean) <= 0.2 * mean for served in machine.served)
    assert sum(machine.late) < 0.05 * sum(offered), "the hop does it, not the deadline"
    # As much as the machine can do, less what a hop in whole steps leaves idle.
    assert sum(machine.served) * load / streams > 0.4 * 300


def test_undone_when_load_falls_and_does_not_swing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 20, 0.1)
    machine.run(300)
    steps = len(machine.rungs)
    assert machine.ladder.rung > 0
    early = sum(at < 1100 for at, _ in machine.rungs)
    late = sum(at >= 1200 for at, _ in machine.rungs)
    assert late < early / 2, "a step down that fails is tried less and less often"
    machine.work_s = 0.01
    machine.run(LONGEST_HOLD_S + HOLD_S * len(PARTS) + LONGEST_HOLD_S)
    assert machine.ladder.rung == 0
    assert all(b < a for (_, a), (_, b) in itertools.pairwise(machine.rungs[steps:])), (
        "straight down"
    )


def test_short_load_is_undone_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 20, 0.1)
    machine.run(10)
    assert machine.ladder.rung > 0
    rung = machine.ladder.rung
    machine.work_s = 0.01
    machine.run((rung + 1) * (HOLD_S + 1))
    assert machine.ladder.rung == 0


def test_one_late_stream_of_many_costs_the_others_nothing() -> None:
    ladder = Ladder()
    members = [ladder.join() for _ in range(10)]
    for second in range(60):
        for number, member in enumerate(members):
            member.lateness = 5.0 if number == 3 else 0.01
        ladder.look(float(second))
    assert ladder.rung == 0
    assert not members[3].begin(2.0, 1.0), "its own window is skipped"
    assert members[4].begin(0.1, 1.0)


def test_a_stream_that_has_left_is_not_asked() -> None:
    ladder = Ladder()
    gone, here = ladder.join(), ladder.join()
    ladder.leave(gone)
    for second in range(20):
        gone.lateness, here.lateness = 5.0, 0.0
        ladder.look(float(second))
    assert ladder.rung == 0


@pytest.mark.parametrize("rung", range(1, len(PARTS)))
@pytest.mark.parametrize("streams", [3, 16, 100])
def test_windows_left_out_are_spread_over_the_streams(rung: int, streams: int) -> None:
    ladder = Ladder()
    members = [ladder.join() for _ in range(streams)]
    ladder.rung = rung
    served = np.array([[serve(member) for member in members] for _ in range(2 * PARTS[rung])])
    assert np.all(served.sum(axis=0) == 2), "one in so many"
    assert served.sum(axis=1).max() <= streams / PARTS[rung] + 3, "not all together"


def test_served_alike_whatever_the_rung_does() -> None:
    ladder = Ladder()
    members = [ladder.join() for _ in range(50)]
    rng = np.random.default_rng(0)
    served = np.zeros(50)
    for _ in range(500):
        ladder.rung = int(rng.integers(len(PARTS)))
        served += [serve(member) for member in members]
    assert served.max() - served.min() <= 1


def test_what_was_left_out_can_be_taken_in_one() -> None:
    ladder = Ladder()
    one, other = ladder.join(), Ladder().join()
    ladder.rung = other.ladder.rung = 4
    single = 0
    while not other.serves_next:
        assert other.leave_out(1) == 1
        single += 1
    assert other.leave_out(1) == 0
    assert (one.leave_out(100), one.leave_out(100)) == (single, 0)


def test_load_that_ends_without_a_word_is_undone() -> None:
    ladder = Ladder()
    member = ladder.join()
    for second in range(20):
        member.lateness = 0.5 + second
        ladder.look(float(second))
    rung = ladder.rung
    assert rung > 0
    ladder.look(20 + QUIET_S / 2)
    assert ladder.rung == rung, "windows may be far apart"
    for second in range(400):
        ladder.look(20 + QUIET_S + second)
    assert ladder.rung == 0
    ladder.rung = 5
    ladder.leave(member)
    assert ladder.rung == 0, "nobody is left to serve"


def serve(member: Member) -> bool:
    """The next window, in time; returns whether it was served."""
    return not member.leave_out(1) and member.begin(0.0, 1.0)


@pytest.mark.parametrize("streams", [1, 2, 20])
def test_cheaper_ways_come_first_and_go_last(monkeypatch: pytest.MonkeyPatch, streams: int) -> None:
    """Load that doubles for a minute: no window is left out, and all is as before soon after."""
    machine = Machine(monkeypatch, streams, 0.7 / streams)
    costs = [1.0, 0.45, 0.17]
    for member in machine.members:
        member.offer(len(costs) - 1)
    machine.cost = lambda n: costs[machine.members[n].level]
    machine.run(60)
    assert [rung for _, rung in machine.rungs] == [0]
    machine.work_s *= 2.4  # and somewhat more at first
    machine.run(5)
    machine.work_s /= 1.2
    machine.run(60)
    assert machine.ladder.rung in (0, 1, 2)
    assert max(rung for _, rung in machine.rungs) in (1, 2)
    machine.work_s /= 2
    machine.run(2 * LONGEST_HOLD_S)
    assert machine.ladder.rung == 0
    assert sum(machine.left_out) + sum(machine.late) == 0
    assert sum(machine.served) == sum(machine.next)


def test_longer_hops_begin_above_the_cheaper_ways() -> None:
    ladder = Ladder()
    plain, clever = ladder.join(), ladder.join()
    clever.offer(2)
    found = []
    for rung in range(5):
        ladder.rung = rung
        found.append((plain.level, clever.level, ladder.part))
    assert found == [(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 2, 2), (0, 2, 3)]
    ladder.leave(clever)
    assert ladder.cheaper == 0
