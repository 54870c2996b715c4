"""A node with commands, for tests of what passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from auricle.engine.command import Change, Command
from auricle.engine.node import NodeParams
from auricle.engine.port import InputPort
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink
from auricle.errors import ConfigError, NothingToChangeError


class TunableParams(NodeParams):
    gain: int = Field(1, ge=0)
    limit: int = 10


class Tunable(Sink[TunableParams]):
    """Takes anything, and can be tuned."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.gain = self.params.gain
        self.add_input(InputPort("values", "Anything.", None, axes=None))

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        """Leave it."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "gain": self.gain}

    def commands(self) -> Mapping[str, Command]:
        return {"tune": self.tune, "mute": self.mute, "spoil": self.spoil}

    def tune(self, gain: int) -> Change:
        """Change the gain.

        Args:
            gain: The new one, up to the limit.
        """
        if gain > self.params.limit:
            raise ConfigError(f"gain={gain} is above {self.params.limit}", node=self.name)
        return lambda: self._set(gain)

    def mute(self) -> Change:
        """Take the gain away, where there is any."""
        if not self.gain:
            raise NothingToChangeError("silent already", node=self.name)
        return lambda: self._set(0)

    def spoil(self) -> Change:
        """Change to settings that no node can be made with."""
        return lambda: self._set(-1)

    def _set(self, gain: int) -> int:
        before, self.gain = self.gain, gain
        return before
