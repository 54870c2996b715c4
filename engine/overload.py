"""What to leave out when windows come faster than they can be served.

One ladder for all streams of an engine, so that all are served alike. On rung 0 every window is
served in full. Where streams have cheaper ways to serve one, the first rungs above are these; on
each rung above them a smaller part of the windows is served: every second, every third and so on,
the longer hop. On any rung a window that could not be begun by its deadline is skipped. Nothing
else is left out: samples and the tokens of nodes that remember are never dropped, so indices stay
true, and what was skipped is marked.

The ladder goes by how late windows are begun, as a part of their deadline. It climbs while many
streams are late and not catching up, and steps down after a time on time. A step down that has to
be taken back doubles that time for its rung, so that the ladder does not swing; one that holds
halves it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from typing import ClassVar

PARTS = (1, 2, 3, 4, 6, 8, 12, 16)
"""One window in so many is served: on the last of the cheaper rungs, or rung 0, and on those above
it.
"""

COST = math.lcm(*PARTS)
"""What serving a window costs."""

SPREAD = 29
"""Between what two streams begin with: about the golden section of `COST`, which spreads them
evenly.
"""

LATE = 0.75
"""Part of the deadline beyond which a window is late for the ladder: there is still time to act."""

EARLY = 0.3
"""The same where a cheaper way is left, which costs no window: soon enough that a window that takes
twice as long as it may makes none of the next too late."""

ON_TIME = 0.2
"""Part of the deadline below which there is room for more."""

MANY = 0.2
"""Part of the streams that have to be late: one bad stream of many must not cost the others
anything.
"""

CATCHING_UP = 0.9
"""Lateness falling by this from one look to the next: the present rung is enough."""

LOOK_S = 0.5
"""Time between two looks."""

SETTLE_S = 3.0
"""Time for which a step up is given to show its effect: what is late already has to be served
first, up to a deadline's worth of it."""

HOLD_S = 3.0
"""Time on time after which a step down is tried."""

LONGEST_HOLD_S = 60.0

QUIET_S = 30.0
"""Time without a window after which there is no load."""


class Member:
    """One stream's place on the ladder. Used by the thread that runs the stream.

    Every window pays a part of what serving one costs, by the rung, and the one that completes the
    sum is served. So streams are served alike over any time and any changes of the rung, and since
    each begins with another sum, at different windows.

    Attributes:
        lateness: Of the latest window until the next look, as a part of its deadline; None if there
            was none.
        cheaper: How many cheaper ways it has to serve a window.
    """

    def __init__(self, ladder: Ladder, number: int) -> None:
        self.ladder = ladder
        self.lateness: float | None = None
        self.cheaper = 0
        self._paid = number * SPREAD % COST

    @property
    def level(self) -> int:
        """Which way to serve the next window: 0, the best, to `cheaper`."""
        return min(self.ladder.rung, self.cheaper)

    def offer(self, cheaper: int) -> None:
        """Say how many cheaper ways there are. From any thread."""
        self.cheaper = cheaper
        self.ladder.count()

    @property
    def serves_next(self) -> bool:
        """Whether the next window is one to serve, in time."""
        return self._paid + COST // self.ladder.part >= COST

    def leave_out(self, most: int) -> int:
        """Leave out the next windows up to the first that is to be served; returns how many, up to
        `most`.
        """
        share = COST // self.ladder.part
        count = min(most, max(0, math.ceil((COST - self._paid) / share) - 1))
        self._paid += count * share
        return count

    def begin(self, late_s: float, deadline_s: float) -> bool:
        """Say how long ago the next window, one to serve, was complete; returns whether it is in
        time.
        """
        in_time = self.tell(late_s, deadline_s)
        self._paid = max(0, self._paid + COST // self.ladder.part - COST)
        return in_time

    def tell(self, late_s: float, deadline_s: float) -> bool:
        """Say how long ago a window was complete when it was begun; returns whether that was in
        time.
        """
        lateness = late_s / deadline_s
        self.lateness = max(lateness, self.lateness or 0.0)
        self.ladder.look(time.monotonic())
        return lateness <= 1


class Ladder:
    """The rung that all streams of an engine are on.

    Attributes:
        rung: From 0, in full, up.
        cheaper: Rungs above 0 on which every window is served, by streams that can in a cheaper
            way.
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
        self._holds_s = defaultdict[int, float](
            lambda: HOLD_S
        )  # before leaving each rung downwards

    @property
    def part(self) -> int:
        """One window in so many is served."""
        return PARTS[max(0, self.rung - self.cheaper)]

    def count(self) -> None:
        """See which cheaper ways the streams have."""
        with self._lock:
            self._count()

    def _count(self) -> None:
        # Rungs of a longer hop stay what they are, and never come of rungs that left nothing out.
        hop = max(0, self.rung - self.cheaper)
        cheaper = max((member.cheaper for member in self._members), default=0)
        if cheaper != self.cheaper:
            self.cheaper = cheaper
            self.rung = cheaper + hop if hop else min(self.rung, cheaper)
            self._holds_s.clear()

    @property
    def _top(self) -> int:
        return self.cheaper + len(PARTS) - 1

    def join(self) -> Member:
        """A place for another stream."""
        with self._lock:
            member = self.member_class(self, self._joined)
            self._joined += 1
            self._members = [*self._members, member]
            return member

    def leave(self, member: Member) -> None:
        """Give a place up."""
        with self._lock:
            self._members = [each for each in self._members if each is not member]
            self._count()
            if not self._members:
                self._reset()

    def look(self, now: float) -> None:
        """See how late the streams are, and step up or down.

        Args:
            now: Monotonic time in seconds; nothing happens until `LOOK_S` after the last look.
        """
        if now < self._look_at:
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
                # What the last of the `MANY` latest streams suffers.
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
