"""Settings of the wire: the `wire` section of a graph file, and those of a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CurveSpec(_Strict):
    """Keys for connections from other machines. Paths are relative to the graph file."""

    secret_key: Path = Field(description="This server's .key_secret file, as written by zmq.auth.")
    clients: Path = Field(
        description="Folder with the public .key files of clients that may connect; may change."
    )


class WireSpec(_Strict):
    """The addresses of the engine's sockets. A socket without an address is not opened."""

    publish: str | None = Field(
        None,
        description="Address for predictions, events and heartbeats, such as tcp://127.0.0.1:5680.",
    )
    arrays: str | None = Field(None, description="Address for mel frames and embeddings.")
    control: str | None = Field(None, description="Address for commands.")
    shared: bool = Field(
        False,
        description="Let every user of this machine send commands; otherwise only the one who runs "
        "the engine can, by a token.",
    )
    curve: CurveSpec | None = Field(
        None, description="Keys; required for addresses that other machines can reach."
    )

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        names: dict[str, str] = {}
        for name in ("publish", "arrays", "control"):
            address = getattr(self, name)
            if address is None or address.endswith("*"):
                continue
            if address in names:
                both = f"{names[address]} and {name} are both {address}"
                raise ValueError(f"{both}; each needs its own address")
            names[address] = name
        return self


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server other than its addresses.

    Attributes:
        heartbeat_s: Seconds from one heartbeat to the next.
        listed_topics: Most topics whose last number a heartbeat names.
        outbox: Most messages that wait for the thread that sends; more are dropped and counted.
        high_water: Most messages that wait for one subscriber; more are dropped for it alone.
        linger_s: Longest time that `stop` waits for subscribers to receive what was sent, in s.
        stop_s: Longest time that `stop` waits for a running command, in s.
        ping_s: Seconds without an answer to pings after which a connection is closed.
    """

    heartbeat_s: float = 1.0
    listed_topics: int = 64
    outbox: int = 10_000
    high_water: int = 1000
    linger_s: float = 0.5
    stop_s: float = 5.0
    ping_s: float = 10.0
