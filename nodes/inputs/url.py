"""The node that listens to a URL: a web radio, a playlist, a camera, a file on a server."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from auricle.errors import InputError, without_password
from auricle.nodes.inputs.base import InputParams, ThreadedInput
from auricle.nodes.signal.decoder import Block, Damage, Decoder
from auricle.nodes.signal.url_options import certificate_fault, url_options

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Seconds before reconnecting. They double from the first to the longest, each with up to a fifth
added at random, so that the listeners of a returning station do not all connect together."""


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
    reconnect: bool = Field(True, description="Connect again when the connection is lost.")
    max_retries: int | None = Field(
        None, ge=0, description="Attempts in a row before giving up; no limit, if left out."
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
    declares itself a radio: when it ends, or sends nothing for `timeout_s`, the node connects
    again, and the time between is a gap. The first connection has to succeed.

    Decoder and connection belong to the capture thread alone; see `ThreadedInput`.

    Raises, from `process`:
        InputError: The source cannot be opened or read, or was lost for good.
    """

    stop_wait_s = 0.5  # nothing interrupts a read; the thread ends when the read does

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.live = True
        self._arrived_ns = 0

    @property
    def origin(self) -> tuple[str, Path | None]:
        scheme, _, rest = self.params.url.partition("://")
        return scheme, Path(rest) if scheme == "file" else None

    def capture(self) -> None:
        decoder = self._connect()
        while True:
            try:
                self._play(decoder)
                if self.stopping.is_set() or not decoder.is_endless:
                    return
                reason = "the stream ended"
            except InputError as error:
                if not decoder.is_endless:
                    raise
                reason = error.message
            finally:
                decoder.close()
            if self.stopping.is_set():
                return
            again = self._connect_again(reason)
            if again is None:
                return
            decoder = again

    def _connect(self) -> Decoder:
        params = self.params
        options = url_options(params.url, params.user_agent, params.verify)
        try:
            decoder = Decoder(params.url, options, params.timeout_s, params.track)
        except InputError as error:
            fault = certificate_fault(params.url, params.timeout_s) if params.verify else None
            if fault is None:
                raise
            raise InputError(
                f"{without_password(params.url)}: its certificate is refused: {fault}; "
                "verify: false accepts any"
            ) from error
        self._open(decoder.sample_rate)
        return decoder

    def _connect_again(self, reason: str) -> Decoder | None:
        """Connect after a loss; None if the input was stopped before that."""
        params, pause_s, tries = self.params, FIRST_PAUSE_S, 0
        while params.reconnect and (params.max_retries is None or tries < params.max_retries):
            if not self._unless_stopping(pause_s * random.uniform(1, 1.2)):
                return None
            pause_s, tries = min(2 * pause_s, LONGEST_PAUSE_S), tries + 1
            try:
                decoder = self._connect()
            except InputError as error:
                reason = error.message
                continue
            now = time.monotonic_ns()
            # FFmpeg releases its last frames only when the source falters, so the time since the
            # last arrival may be too short.
            due_s = (self.clock.expected_sample(now) - self._next_sample) / self.clock.sample_rate
            self._lose_seconds(max(due_s, (now - self._arrived_ns) / 1e9), "reconnect")
            self._write_all()
            return decoder
        url = without_password(params.url)
        raise InputError(reason if url in reason else f"{url}: {reason}")

    def _play(self, decoder: Decoder) -> None:
        for item in decoder.blocks():
            if self.stopping.is_set():
                return
            self._arrived_ns = time.monotonic_ns()
            if isinstance(item, Block):
                self._open(item.sample_rate)
                self._hear(item.samples, self._arrived_ns, item.layout)
            elif isinstance(item, Damage):
                self._lose_seconds(item.seconds, "damaged")
            self._write_all(self._arrived_ns)
