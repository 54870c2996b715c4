"""The `wire` section of a graph file: the addresses an engine speaks on, and who may connect."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CurveSpec(_Strict):
    """Who may connect, for addresses beyond this machine. Paths are relative to the graph file."""

    secret_key: Path = Field(description="This server's .key_secret file, as zmq.auth makes it.")
    clients: Path = Field(description="Folder with the public .key files of the clients let in.")


class WireSpec(_Strict):
    """The addresses a graph speaks on. A socket without an address is not opened."""

    publish: str | None = Field(
        None, description="Predictions, events, heartbeats: PUB, such as tcp://127.0.0.1:5680."
    )
    arrays: str | None = Field(None, description="Mel frames and embeddings: PUB.")
    control: str | None = Field(None, description="Questions and commands: REP.")
    curve: CurveSpec | None = Field(None, description="Required for addresses beyond this machine.")

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        names: dict[str, str] = {}
        for name in ("publish", "arrays", "control"):
            address = getattr(self, name)
            if address is None or address.endswith("*"):
                continue
            if address in names:
                both = f"{names[address]} and {name} are both {address}"
                raise ValueError(f"{both}; each needs an address of its own")
            names[address] = name
        return self
