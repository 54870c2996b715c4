"""The policy for starting streams again that have ended."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from auricle.engine.backoff import Backoff
from auricle.engine.run import Run, State
from auricle.errors import ConfigError
from auricle.service.form import Form

RestartWhen = Literal["never", "on-error", "always"]

LONGEST_S = 86_400
"""Longest pause that may be asked for, in seconds: a day."""


class RestartPolicy(Form):
    """When a stream that has ended is started again, and the pauses between all tries.

    A source on a network that cannot be reached makes its tries within its stream, which does not
    end; they have the same pauses.
    """

    when: RestartWhen = Field(
        "never",
        description="never; on-error: after an error, unless the graph itself is invalid; always: "
        "also after the end of the input.",
    )
    first_pause_s: float = Field(
        1.0, gt=0, le=LONGEST_S, description="Longest pause before the first try, in seconds."
    )
    longest_pause_s: float = Field(
        60.0,
        gt=0,
        le=LONGEST_S,
        description="Longest pause in seconds; pauses double from try to try, and chance cuts "
        "each.",
    )
    good_after_s: float = Field(
        10.0,
        ge=0,
        le=LONGEST_S,
        description="Seconds of audio after which pauses start over with the first.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> RestartPolicy:
        if self.longest_pause_s < self.first_pause_s:
            what = f"longest_pause_s={self.longest_pause_s:g}"
            raise ValueError(f"{what} must not be less than first_pause_s={self.first_pause_s:g}")
        return self

    def wants(self, run: Run) -> bool:
        """Whether a run that is over should be followed by another one.

        Not if it was stopped, or if it failed because its graph or a parameter is invalid.
        """
        if run.state is State.FAILED:
            return self.when != "never" and not isinstance(run.error, ConfigError)
        return run.state is State.FINISHED and self.when == "always"

    @property
    def backoff(self) -> Backoff:
        """The pauses between tries."""
        return Backoff(self.first_pause_s, self.longest_pause_s, self.good_after_s)


# Discriminated by form, so that pydantic reports the errors of one branch of the union only.
Restart = Annotated[
    Annotated[RestartWhen, Tag("word")] | Annotated[RestartPolicy, Tag("policy")],
    Discriminator(lambda value: "policy" if isinstance(value, dict | RestartPolicy) else "word"),
]


def policy_of(restart: Any) -> RestartPolicy:
    """The policy that the field `restart` of a graph file stands for: a word, or a policy."""
    return restart if isinstance(restart, RestartPolicy) else RestartPolicy(when=restart)
