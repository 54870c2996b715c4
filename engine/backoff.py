"""How long to wait before trying again, for whatever is tried again and again."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_GROWTH = 60
"""Most doublings of the pause: by then it has reached its longest, and more might overflow."""

LEAST_PART = 0.1
"""Least part of a pause that chance leaves."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from try to try, each cut by chance.

    Attributes:
        first_s: Longest pause before the first try, in seconds.
        longest_s: Longest pause of all, in seconds.
        good_after_s: Seconds that audio has to last for pauses to start over with the first.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    good_after_s: float = 10.0

    def pause_s(self, tries: int, chance: float) -> float:
        """Seconds to wait before the next try.

        Args:
            tries: Number of tries since there was last good audio.
            chance: Random number from 0 to 1, which spreads over the pause what failed together.
        """
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(tries, LONGEST_GROWTH))
        return pause_s * max(chance, LEAST_PART)


USUAL = Backoff()
"""The pauses where nothing else was asked for."""
