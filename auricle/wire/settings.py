"""How an engine speaks: the `wire` section of a graph file, and what else can be set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CurveSpec(_Strict):
    """Who may connect, for addresses beyond this machine. Paths are relative to the graph file."""

    secret_key: Path = Field(description="This server's .key_secret file, as zmq.auth makes it.")
    clients: Path = Field(
        description="Folder with the public .key files of the clients let in; it may change."
    )


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


@dataclass(frozen=True)
class ServerSettings:
    """What of a server can be set beside its addresses.

    Attributes:
        heartbeat_s: Seconds from one heartbeat to the next.
        listed_topics: Topics whose last number a heartbeat names, at most.
        outbox: Messages that may wait for the thread that sends; more are dropped and counted.
        high_water: Messages that may wait for one subscriber; more are dropped for it alone.
        linger_s: Longest time that `stop` gives subscribers to take what was sent.
        stop_s: Longest time that `stop` waits for a command at work.
        ping_s: Seconds after which a connection is closed from which not even pings are answered.
    """

    heartbeat_s: float = 1.0
    listed_topics: int = 64
    outbox: int = 10_000
    high_water: int = 1000
    linger_s: float = 0.5
    stop_s: float = 5.0
    ping_s: float = 10.0
