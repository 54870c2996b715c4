"""The node that listens to a URL: a web radio, a playlist, a camera, a file on a server."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from auricle.engine.context import Outage
from auricle.errors import ConfigError, InputError, without_password
from auricle.nodes.inputs.base import LEAST_GAP, InputParams, ThreadedInput
from auricle.nodes.signal.decoder import Block, Damage, Decoder
from auricle.nodes.signal.url_decoder import open_url_decoder

SETTLE_S = 1.0
"""Seconds from the first audio of a connection within which what the server sends ahead arrives.
Times of arrival do not show yet when it was captured; after an outage it is held until it is known
how much that is."""

MOST_HELD_S = 30.0
"""Most seconds of audio that are held."""

LOCAL = frozenset({"concat", "concatf", "data", "file", "pipe", "subfile"})
"""Schemes of what is on this machine, which is there at once or not at all."""

REMOTE = frozenset({"http", "https", "icecast", "rtmp", "rtmps", "rtsp", "rtsps"})
"""Schemes of addresses that must have a host."""


class UrlInputParams(InputParams):
    """Parameters of `UrlInput`."""

    url: str = Field(pattern=r"^[a-z0-9+]+://", description="Address, with its scheme.")
    user_agent: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[ -~]+$",
        description="Name that the client gives to an HTTP server; that of FFmpeg, if left out.",
    )
    verify: bool = Field(
        True,
        description="Refuse a TLS server with an invalid certificate, such as a self-signed one.",
    )
    track: int | None = Field(
        None,
        ge=1,
        description="Audio track to hear, from 1; the default of the source, if left out.",
    )
    timeout_s: float = Field(
        10.0, gt=0, le=3600, description="Longest wait for a connection or for data, seconds."
    )
    reconnect: bool = Field(
        True, description="Connect again when the connection is lost or cannot be made."
    )
    max_retries: int | None = Field(
        None,
        ge=0,
        description="Attempts in a row, without good audio between, before giving up; no limit, if "
        "left out.",
    )
    realtime: bool = Field(
        False,
        description="Play a source that declares its length in real time, as if it were live.",
    )

    @field_validator("url", mode="before")
    @classmethod
    def _as_ffmpeg_reads_it(cls, url: object) -> object:
        """The address with its scheme in lower case, without spaces around it."""
        if not isinstance(url, str):
            return url
        scheme, separator, rest = url.strip().partition("://")
        return scheme.lower() + separator + rest


class UrlInput(ThreadedInput[UrlInputParams]):
    """Anything that FFmpeg opens by URL: http(s), Icecast, HLS, RTSP and so on.

    A source that declares its length ends with it, and losing it before that is an error, since it
    would start from the beginning again. One without a length counts as endless, as does one that
    declares itself a radio. While such a source cannot be reached, has ended or has sent nothing
    for `timeout_s`, the node waits and connects again, with the pauses of its context. The time
    between is a gap, made as long as it has to be for index and clock to agree again: what a server
    sends ahead after it fills the end of the outage, and what would be heard twice is left out.

    Decoder and connection belong to the capture thread alone; see `ThreadedInput`.

    Raises:
        ConfigError: The address cannot be one.

    Raises, from `process`:
        ConfigError: FFmpeg does not know the scheme.
        InputError: The source is lost, and must not be tried again.
    """

    stop_wait_s = 0.5  # nothing interrupts a read; the thread ends when the read does

    # At full speed a file would leave no time to live sources beside it.
    among_others: ClassVar[Mapping[str, Any]] = {"realtime": True}

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        _check_address(self.params.url, name)
        self.live = True
        # Of the capture thread. Until it is known better, what comes over a network is endless.
        self._endless = urlsplit(self.params.url).scheme not in LOCAL
        self._held: list[Block | Damage] | None = None
        self._held_s = 0.0
        self._promptest_s = 0.0  # least of time less seconds held, over what is held
        self._connected_ns = 0  # when audio first came from this connection; 0 before
        self._arrived_ns = 0

    @property
    def origin(self) -> tuple[str, Path | None]:
        scheme, _, rest = self.params.url.partition("://")
        return scheme, Path(rest) if scheme == "file" else None

    def capture(self) -> None:
        backoff, tries = self.context.backoff, 0
        while True:
            try:
                self._play()
                reason = self._describe("the stream ended")
            except InputError as error:
                if not self._endless:
                    raise
                reason = self._describe(error.message)
            if self.stopping.is_set() or not self._endless:
                return
            if self._good_s >= backoff.good_after_s:
                tries = 0
            if not self.params.reconnect or tries == self.params.max_retries:
                raise InputError(reason)
            pause_s = backoff.pause_s(tries, random.random())
            tries += 1
            self.context.report_outage(Outage(reason, time.time() + pause_s))
            if not self._unless_stopping(pause_s):
                return

    def _describe(self, reason: str) -> str:
        url = without_password(self.params.url)
        return reason if url in reason else f"{url}: {reason}"

    @property
    def _good_s(self) -> float:
        """Seconds, by our clock, for which the last connection gave audio."""
        return (self._arrived_ns - self._connected_ns) / 1e9 if self._connected_ns else 0.0

    def _connect(self) -> Decoder:
        params = self.params
        return open_url_decoder(
            params.url, params.timeout_s, params.user_agent, params.verify, params.track
        )

    def _play(self) -> None:
        """Connect, and hear the source until it ends or is lost.

        Raises:
            InputError: It is lost.
        """
        self._connected_ns = 0
        decoder = self._connect()
        try:
            if self._heard and not decoder.is_endless:
                raise InputError("it declares a length now: the live stream has ended")
            self._endless = decoder.is_endless
            self._open(decoder.sample_rate)
            self._hold()
            for item in decoder.blocks():
                if self.stopping.is_set():
                    return
                self._receive(item, time.monotonic_ns())
        finally:
            decoder.close()
            self._release()
            if self._connected_ns and not self._settled:
                self.clock.observe(self._next_sample, self._arrived_ns)

    @property
    def _settled(self) -> bool:
        """Whether what comes now is no longer what the server sent ahead."""
        return self._good_s >= SETTLE_S

    def _receive(self, item: Block | Damage, now: int) -> None:
        """Take what the decoder gave at the monotonic time `now`, or hold it."""
        if not self._connected_ns:
            self._connected_ns = now
            if not self._heard:
                self.clock.begin(now)
            self.context.report_outage(None)
        self._arrived_ns = now
        if self._held is None:
            self._take(item, now if self._settled or not self._endless else None)
            return
        self._held.append(item)
        self._held_s += _seconds(item)
        self._promptest_s = min(self._promptest_s, now / 1e9 - self._held_s)
        if self._settled or self._held_s >= MOST_HELD_S:
            self._release()

    def _take(self, item: Block | Damage, arrived_ns: int | None) -> None:
        if isinstance(item, Block):
            self._open(item.sample_rate)
            self._hear(item.samples, arrived_ns, item.layout)
        else:
            self._lose_seconds(item.seconds, "damaged")
        self._write_all(self._arrived_ns)
        if self.params.realtime and not self._endless:
            played_s = float(self._heard / self.clock.sample_rate)
            ahead_s = played_s - (time.monotonic_ns() - self._connected_ns) / 1e9
            self._unless_stopping(max(0.0, ahead_s))

    def _hold(self) -> None:
        """Hold what comes after an outage, until it is known how much the server sends ahead."""
        if self.clock.least_delay_s is not None:
            self._held, self._held_s, self._promptest_s = [], 0.0, float("inf")

    def _release(self) -> None:
        """Take what was held, behind the silence that makes index and clock agree again."""
        held, self._held = self._held, None
        due_s = self.clock.least_delay_s
        if not held or due_s is None or self.stopping.is_set():
            return
        reached_s = float(self._heard / self.clock.sample_rate)
        gap_s = self._promptest_s - due_s - reached_s
        self.clock.forget()
        least_s = LEAST_GAP / self.clock.sample_rate
        self._lose_seconds(max(gap_s, least_s), "reconnect")
        self._write_all()
        for item in _without_first(held, max(0.0, least_s - gap_s)):
            if not self.stopping.is_set():
                self._take(item, None)


def _seconds(item: Block | Damage) -> float:
    return len(item.samples) / item.sample_rate if isinstance(item, Block) else item.seconds


def _without_first(items: list[Block | Damage], seconds: float) -> list[Block | Damage]:
    """What is left behind the first `seconds` of some items, to a block."""
    while items and seconds > 0:
        seconds -= _seconds(items[0])
        items = items[1:]
    return items


def _check_address(url: str, node: str) -> None:
    """Refuse an address that can never be reached.

    Raises:
        ConfigError: It has no host, or its port is not a number up to 65535.
    """
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"{shown}: not an address: {error}", node=node) from None
    if not host and parts.scheme in REMOTE:
        raise ConfigError(f"{shown}: not an address: no host", node=node)
