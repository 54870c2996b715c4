"""When a stream that has ended is started again, and after which pause."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from auricle.engine.run import Run, State
from auricle.errors import ConfigError
from auricle.service.stream_list import Form

RestartWhen = Literal["never", "on-error", "always"]

LONGEST_GROWTH = 60
"""Doublings of the pause after which it certainly is as long as it may become."""


class RestartPolicy(Form):
    """When a stream that has ended is started again, and after which pause."""

    when: RestartWhen = Field(
        "never",
        description="never; on-error: after an error, unless it is in the graph itself; always: "
        "also after the end of the input.",
    )
    first_pause_s: float = Field(1.0, gt=0, description="Seconds before the first new try.")
    longest_pause_s: float = Field(
        60.0, gt=0, description="Seconds that the pause, which doubles with each try, has at most."
    )
    good_after_s: float = Field(
        10.0, ge=0, description="Seconds of audio after which the pause falls back to the first."
    )

    @model_validator(mode="after")
    def _check_order(self) -> RestartPolicy:
        if self.longest_pause_s < self.first_pause_s:
            what = f"longest_pause_s={self.longest_pause_s:g}"
            raise ValueError(f"{what} must not be less than first_pause_s={self.first_pause_s:g}")
        return self

    def wants(self, run: Run) -> bool:
        """Whether a run that is over is to be followed by another one.

        One that was stopped is not, nor one whose graph or parameters cannot be used.
        """
        if run.state is State.FAILED:
            return self.when != "never" and not isinstance(run.error, ConfigError)
        return run.state is State.FINISHED and self.when == "always"

    def pause_s(self, tries: int, chance: float) -> float:
        """Seconds to wait before the next try.

        Args:
            tries: Tries since the stream last ran well.
            chance: From 0 to 1: streams that failed together do not all come back together.
        """
        longest = min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(tries, LONGEST_GROWTH))
        return longest * (1 + chance) / 2


# Chosen by the form of the value, so that pydantic's error is about one branch of the union.
Restart = Annotated[
    Annotated[RestartWhen, Tag("word")] | Annotated[RestartPolicy, Tag("policy")],
    Discriminator(lambda value: "policy" if isinstance(value, dict | RestartPolicy) else "word"),
]


def policy_of(restart: Any) -> RestartPolicy:
    """The policy that `restart` of a graph file stands for: a word, or all of it."""
    return restart if isinstance(restart, RestartPolicy) else RestartPolicy(when=restart)
