"""Comparing the clock of an engine with that of its subscriber."""

from __future__ import annotations

from typing import Final

AGREE_S: Final = 1.0
"""Seconds up to which two clocks are said to agree, and a difference is time that passed."""

STEP_S: Final = 600.0
"""Seconds by which no message is ever late: a larger change is a clock that was set."""


class ClockDifference:
    """How far a subscriber's clock is ahead of an engine's, judged by the promptest message.

    A clock that is an hour off, or that is set while the engine runs, is no latency.
    """

    def __init__(self) -> None:
        self._ahead_s: float | None = None

    def received(self, published: float, received: float) -> float:
        """UTC at which a message was received, by the clock of the engine if the clocks disagree.

        Args:
            published: UTC at which it was published, by the clock of the engine, in seconds.
            received: UTC at which it was received, by the clock of the subscriber, in seconds.
        """
        ahead_s = received - published
        if self._ahead_s is None or not 0 <= ahead_s - self._ahead_s <= STEP_S:
            self._ahead_s = ahead_s
        return received - self._ahead_s if abs(self._ahead_s) > AGREE_S else received
