"""How URLs are opened: what FFmpeg is told, and what it cannot do or say by itself."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import av

from auricle.errors import InputError, without_password
from auricle.nodes.signal.decoder import Decoder
from auricle.nodes.signal.hls import find_playlist, make_fetch, open_url

HTTPS_PORT = 443
"""Port of https, if the address names none."""

FORGETS_AUTHORITIES = av.library_versions["libavformat"] >= (63,)
"""Whether FFmpeg verifies the servers of the segments of HLS, but by no authority that it was told:
so since its release 9."""

SEGMENTS_OF_WAIT = 2
"""Times the length of a segment that a server of live HLS may take for the next one."""


def open_url_decoder(
    url: str,
    timeout_s: float,
    user_agent: str | None = None,
    verify: bool = True,
    track: int | None = None,
) -> Decoder:
    """Open a URL.

    Args:
        url: Address, with its scheme in lower case.
        timeout_s: Longest wait for a connection or for data, seconds; for the next segment of live
            HLS, that and the time that such a segment takes.
        user_agent: Name that the client gives to an HTTP server; FFmpeg's own if None.
        verify: Whether the certificate of a TLS server has to be valid.
        track: Audio track to decode, from 1; None for the one that players choose.

    Raises:
        InputError: It cannot be opened, or is no audio.
    """
    fetch = make_fetch(timeout_s, user_agent, verify)
    found = find_playlist(url, fetch, choose=track is None)
    read_s = timeout_s + SEGMENTS_OF_WAIT * found.wait_s
    options = url_options(found.url, user_agent, verify)
    opener = None
    if FORGETS_AUTHORITIES and found.is_playlist and found.url.startswith("https:"):
        options |= {"http_persistent": "0", "http_multiple": "0"}  # for connections of FFmpeg only
        opener = _make_opener(timeout_s, user_agent, verify)
    try:
        return Decoder(found.url, options, (timeout_s, read_s), track, opener)
    except InputError as error:
        fault = certificate_fault(url, timeout_s) if verify else None
        if fault is None:
            raise
        raise InputError(
            f"{without_password(url)}: its certificate is refused: {fault}; verify: false accepts "
            "any"
        ) from error


class _Answer:
    """An answer of a server, for PyAV: bytes to be read once."""

    def __init__(self, body: HTTPResponse) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        return self._body.read(size)

    def close(self) -> None:
        """Close the connection."""
        self._body.close()


def _make_opener(
    timeout_s: float, user_agent: str | None, verify: bool
) -> Callable[[str, int, dict[str, Any]], object]:
    """A function by which FFmpeg opens what a playlist names, over HTTP only."""

    def open_named(url: str, flags: int, options: dict[str, Any]) -> object:
        return _Answer(open_url(url, timeout_s, user_agent, verify))

    return open_named


def url_options(url: str, user_agent: str | None = None, verify: bool = True) -> dict[str, str]:
    """FFmpeg's options for a URL.

    Args:
        url: Address, with its scheme in lower case.
        user_agent: Name that the client gives to an HTTP server; FFmpeg's own if None.
        verify: Whether the certificate of a TLS server has to be valid.
    """
    options = {"tls_verify": "1" if verify else "0"}
    authorities = ssl.get_default_verify_paths().cafile
    if authorities is not None:  # the FFmpeg in PyAV's wheels knows none by itself
        options["ca_file"] = authorities
    if user_agent is not None:
        options["user_agent"] = user_agent
    if url.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    return options


def certificate_fault(url: str, timeout_s: float) -> str | None:
    """What is wrong with the certificate of an https server; None if nothing is, or it is away.

    FFmpeg only says that input or output failed. This connects once more.

    Args:
        url: Address that could not be opened.
        timeout_s: Longest wait for each step of the handshake, seconds.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    try:
        place = (parts.hostname, parts.port or HTTPS_PORT)
        with (
            socket.create_connection(place, timeout_s) as connection,
            ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return None
