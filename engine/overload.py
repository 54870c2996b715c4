"""What to leave out when windows come faster than they can be served.

One ladder for all streams of an engine, so that all are served alike. On rung 0 every window is
served in full. Where streams have cheaper ways to serve a window, the first rungs above 0 are
these; on each rung above them fewer windows are served: every second, every third and so on, which
is a longer hop. On any rung a window that could not be begun by its deadline is skipped. Nothing
else is left out: samples and the tokens of nodes with memory are never dropped, so indices stay
true, and every skip is marked.

The ladder is governed by lateness: how long after its completion a window is begun, as a fraction
of its deadline. It climbs while many streams are late and not catching up, and steps down after a
time in which all were on time. A step down that has to be taken back doubles that time for its
rung, so that the ladder does not oscillate; one that holds halves it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from typing import ClassVar

PARTS = (1, 2, 3, 4, 6, 8, 12, 16)
"""One window of every `n` is served: the first `n` on the last of the cheaper rungs (rung 0 without
any), the others on the rungs above it."""

COST = math.lcm(*PARTS)
"""Cost of serving a window, in the shares that windows pay (see `Member`)."""

SPREAD = 29
"""Difference between the initial sums of two streams: about the golden section of `COST`, which
spreads them evenly."""

LATE = 0.75
"""Fraction of the deadline beyond which a window is late for the ladder: there is still time to
act."""

EARLY = 0.3
"""The same where a cheaper way is left, which costs no window: soon enough that a window that takes
twice its time makes none of the next ones too late."""

ON_TIME = 0.2
"""Fraction of the deadline below which there is room for more."""

MANY = 0.2
"""Fraction of the streams that have to be late: one bad stream of many must not cost the others
anything."""

CATCHING_UP = 0.9
"""Ratio of lateness from one look to the next below which the present rung is enough."""

LOOK_S = 0.5
"""Seconds between two looks."""

SETTLE_S = 3.0
"""Seconds for which a step up is given to show its effect: windows that are late already have to be
served first, up to a deadline's worth of them."""

HOLD_S = 3.0
"""Seconds on time after which a step down is tried."""

LONGEST_HOLD_S = 60.0
"""Most seconds that failed steps down may extend `HOLD_S` to."""

QUIET_S = 30.0
"""Seconds without a window after which the load counts as 0."""


class Member:
    """One stream's place on the ladder. Used by the thread that runs the stream, but for `offer`.

    Every window pays a share of the cost of serving one, by the rung, and the window that completes
    the sum is served. So streams are served alike over any time and any changes of the rung, and,
    since each begins with another sum, at different windows.

    Attributes:
        lateness: Greatest lateness of a window since the last look, as a fraction of its deadline;
            None if there was no window.
        cheaper: Number of cheaper ways in which it can serve a window.
    """

    def __init__(self, ladder: Ladder, number: int) -> None:
        self.ladder = ladder
        # Written by the stream's thread; cleared, under the ladder's lock, by whichever thread
        # looks. One that is lost between the two is one window's of many.
        self.lateness: float | None = None
        self.cheaper = 0  # written by `offer`, on any thread; one number, read as it is
        self._paid = number * SPREAD % COST  # of the stream's thread alone

    @property
    def level(self) -> int:
        """The way to serve the next window, from 0, the best, to `cheaper`."""
        return min(self.ladder.rung, self.cheaper)

    def offer(self, cheaper: int) -> None:
        """Set the number of cheaper ways. Callable from any thread."""
        self.cheaper = cheaper
        self.ladder.count()

    @property
    def serves_next(self) -> bool:
        """Whether the next window is to be served, provided that it is in time."""
        return self._paid + COST // self.ladder.part >= COST

    def leave_out(self, most: int) -> int:
        """Leave out the next windows, up to the first that is to be served.

        Args:
            most: Most windows to leave out.

        Returns:
            The number of windows left out.
        """
        share = COST // self.ladder.part
        count = min(most, max(0, math.ceil((COST - self._paid) / share) - 1))
        self._paid += count * share
        return count

    def begin(self, late_s: float, deadline_s: float) -> bool:
        """Take a window that is to be served into account, now that it is begun.

        Args:
            late_s: Seconds since the window was complete.
            deadline_s: Seconds after which it is too late to begin it.

        Returns:
            Whether it is in time.
        """
        in_time = self.note(late_s, deadline_s)
        self._paid = max(0, self._paid + COST // self.ladder.part - COST)
        return in_time

    def note(self, late_s: float, deadline_s: float) -> bool:
        """Note how late a window was begun.

        Args:
            late_s: Seconds since the window was complete when it was begun.
            deadline_s: Seconds after which it was too late to begin it.

        Returns:
            Whether it was in time.
        """
        lateness = late_s / deadline_s
        self.lateness = max(lateness, self.lateness or 0.0)
        self.ladder.look(time.monotonic())
        return lateness <= 1


class Ladder:
    """The rung that all streams of an engine are on.

    Any thread may use it. All fields are written under the lock. `rung` and `cheaper` are read
    without it, by every stream for every window: each is one number, and `_count` never lets a
    rung be seen that is above the top.

    Attributes:
        rung: Present rung, from 0, where every window is served in full.
        cheaper: Number of rungs above 0 on which every window is served, in a cheaper way by those
            streams that have one.
    """

    member_class: ClassVar[type[Member]] = Member

    def __init__(self) -> None:
        self.cheaper = 0
        self._lock = threading.Lock()
        self._members: list[Member] = []
        self._joined = 0
        self._reset()

    def _reset(self) -> None:
        self.rung = 0
        self._look_at = self._heard_at = -math.inf
        self._before = 0.0
        self._on_time_since: float | None = None
        self._stepped_up_at = self._stepped_down_at = -math.inf
        # Seconds on time before leaving each rung downwards.
        self._holds_s = defaultdict[int, float](lambda: HOLD_S)

    @property
    def part(self) -> int:
        """The `n` of the one window in `n` that is served on the present rung."""
        return PARTS[max(0, self.rung - self.cheaper)]

    def count(self) -> None:
        """Adapt the rungs to the number of cheaper ways that the streams have now."""
        with self._lock:
            self._count()

    def _count(self) -> None:
        # A rung that leaves windows out keeps its part, and one that leaves none out gets none.
        leaving_out = max(0, self.rung - self.cheaper)
        cheaper = max((member.cheaper for member in self._members), default=0)
        if cheaper != self.cheaper:
            rung = cheaper + leaving_out if leaving_out else min(self.rung, cheaper)
            # Streams read both without the lock: `rung - cheaper` must never exceed `PARTS`.
            self.rung = min(self.rung, rung)
            self.cheaper = cheaper
            self.rung = rung
            self._holds_s.clear()

    @property
    def _top(self) -> int:
        return self.cheaper + len(PARTS) - 1

    def join(self) -> Member:
        """Make a place for another stream."""
        with self._lock:
            member = self.member_class(self, self._joined)
            self._joined += 1
            self._members = [*self._members, member]
            return member

    def leave(self, member: Member) -> None:
        """Give up a place. The ladder starts again at rung 0 when the last one is given up."""
        with self._lock:
            self._members = [each for each in self._members if each is not member]
            self._count()
            if not self._members:
                self._reset()

    def look(self, now: float) -> None:
        """Look how late the streams are, and step up or down.

        Args:
            now: Monotonic time in seconds; nothing happens until `LOOK_S` after the last look.
        """
        if now < self._look_at:  # without the lock, for speed
            return
        with self._lock:
            if now < self._look_at:
                return
            self._look_at = now + LOOK_S
            found = sorted(
                (m.lateness for m in self._members if m.lateness is not None), reverse=True
            )
            for member in self._members:
                member.lateness = None
            if found:
                self._heard_at = now
                # The lateness that a fraction `MANY` of the streams reaches or exceeds.
                self._judge(found[math.ceil(MANY * len(found)) - 1], now)
            elif now - self._heard_at > QUIET_S:
                self._judge(0.0, now)

    def _judge(self, lateness: float, now: float) -> None:
        before, self._before = self._before, lateness
        if lateness > ON_TIME:
            self._on_time_since = None
        if lateness > (EARLY if self.rung < self.cheaper else LATE):
            settled = now - self._stepped_up_at >= SETTLE_S
            if settled and lateness > before * CATCHING_UP and self.rung < self._top:
                self._step_up(now)
        elif lateness <= ON_TIME and self.rung:
            if self._on_time_since is None:
                self._on_time_since = now
            if now - self._on_time_since >= self._holds_s[self.rung]:
                self._step_down(now)

    def _step_up(self, now: float) -> None:
        self.rung += 1
        if now - self._stepped_down_at < LONGEST_HOLD_S:
            self._holds_s[self.rung] = min(2 * self._holds_s[self.rung], LONGEST_HOLD_S)
        self._stepped_down_at = -math.inf
        self._stepped_up_at = now

    def _step_down(self, now: float) -> None:
        if self._stepped_down_at > -math.inf:
            # The last step was down too, and was right.
            self._holds_s[self.rung + 1] = max(self._holds_s[self.rung + 1] / 2, HOLD_S)
        self.rung -= 1
        self._stepped_down_at = self._on_time_since = now
