"""How URLs are opened: what FFmpeg is told, and why a server's certificate was refused."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

HTTPS_PORT = 443
"""Port of https, if the address names none."""


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
