"""What FFmpeg does not do for HLS: choosing a variant before anything of the others is fetched.

FFmpeg looks into all variants, pictures included. And it waits for segments of a live playlist
within one read, so that how long a read may take follows from how long its segments are.
"""

from __future__ import annotations

import base64
import ipaddress
import itertools
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import unquote, urljoin, urlsplit

import av

from auricle.errors import InputError, without_password

ENDINGS = (".m3u", ".m3u8")
"""Endings of the paths of playlists."""

USER_AGENT = f"Lavf/{'.'.join(map(str, av.library_versions['libavformat']))}"
"""Name that FFmpeg gives by itself."""

MOST_BYTES = 1 << 20
"""Most bytes of a playlist that are read."""

ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
"""An attribute of a tag, with its value."""

PICTURE_CODECS = ("av01", "avc", "dvh", "hev", "hvc", "mp4v", "vp0", "vp8", "vp9")
"""First characters of the codecs of pictures."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """A list of segments.

    Attributes:
        url: Address to open.
        wait_s: Seconds that pass between two of its segments while it grows; 0 if it is complete.
        is_playlist: Whether it could be read as one.
    """

    url: str
    wait_s: float = 0.0
    is_playlist: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the programme that a playlist offers."""

    url: str
    rate: int
    has_picture: bool


Fetch = Callable[[str], tuple[str, str]]
"""Function that gets a text, and the address that it was found at in the end."""


def find_playlist(url: str, fetch: Fetch, choose: bool = True) -> Playlist:
    """Find the segments of the best sound that an address offers.

    Args:
        url: Address, with its scheme in lower case.
        fetch: Function that gets a text over HTTP.
        choose: Whether to choose among variants; otherwise FFmpeg sees all of them.

    Returns:
        The playlist to open; `url` itself for anything but HLS, and if it cannot be read, of which
        FFmpeg will give the reason.

    Raises:
        InputError: The server does not answer in time, or a playlist of another machine names an
            address of this one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.path.lower().endswith(ENDINGS):
        return Playlist(url)
    try:
        text, found_at = fetch(url)
        _check_places(text, found_at, url)
        variants = list(_variants(text, found_at))
        if variants:
            best = max(variants, key=lambda each: (not each.has_picture, each.rate))
            text, found_at = fetch(best.url)
            _check_places(text, found_at, url)
            url = best.url if choose else url
        return Playlist(url, _wait_s(text), text.startswith("#EXTM3U"))
    except TimeoutError:
        raise InputError(f"{without_password(url)}: no data in time") from None
    except (OSError, ValueError):
        return Playlist(url)


def _variants(text: str, url: str) -> Iterator[Variant]:
    """The variants of a master playlist; none for a list of segments.

    Where the sound has a playlist of its own, that is the variant. Only addresses of HTTP count: a
    playlist never leads to a file.
    """
    lines = [line.strip() for line in text.splitlines()]
    sounds = _sounds(lines)
    for line, following in itertools.pairwise(lines):
        if not line.startswith("#EXT-X-STREAM-INF:"):
            continue
        given = _attributes(line)
        sound = sounds.get(given.get("AUDIO", ""))
        target = urljoin(url, sound or following)
        rate = given.get("BANDWIDTH", "")
        codecs = [codec.strip() for codec in given.get("CODECS", "").split(",")]
        picture = "RESOLUTION" in given or any(codec.startswith(PICTURE_CODECS) for codec in codecs)
        if urlsplit(target).scheme in ("http", "https"):
            yield Variant(target, int(rate) if rate.isdecimal() else 0, picture and not sound)


def _sounds(lines: list[str]) -> dict[str, str]:
    """Playlists of sound alone by their group: the default one of each, or else the first."""
    sounds: dict[str, str] = {}
    for given in (_attributes(line) for line in lines if line.startswith("#EXT-X-MEDIA:")):
        if given.get("TYPE") == "AUDIO" and "URI" in given:
            group = given.get("GROUP-ID", "")
            if group not in sounds or given.get("DEFAULT") == "YES":
                sounds[group] = given["URI"]
    return sounds


def _check_places(text: str, found_at: str, asked: str) -> None:
    """Refuse what leads from a server elsewhere to services of this machine, which trust it.

    Raises:
        InputError: The playlist, or a redirection to it, names an address of this machine.
    """
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    named += [uri for line in lines for uri in re.findall(r'URI="([^"]*)"', line)]
    hosts = {urlsplit(urljoin(found_at, each)).hostname for each in (found_at, *named)}
    others = sorted(filter(None, hosts - {urlsplit(asked).hostname}))
    for host in others if others and not _is_here(urlsplit(asked).hostname) else ():
        if _is_here(host):
            what = f"its playlist leads to {host}, an address of this machine"
            raise InputError(f"{without_password(asked)}: {what}")


def _is_here(host: str | None) -> bool:
    """Whether a host is this machine or, as for metadata of clouds, right beside it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # it cannot be reached either
        return False
    addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    plain = [getattr(each, "ipv4_mapped", None) or each for each in addresses]
    return any(each.is_loopback or each.is_unspecified or each.is_link_local for each in plain)


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in ATTRIBUTE.findall(line.partition(":")[2])}


def _wait_s(text: str) -> float:
    if "#EXT-X-ENDLIST" in text:
        return 0.0
    length = re.search(r"#EXT-X-TARGETDURATION:\s*(\d{1,4})", text)
    return float(length[1]) if length else 0.0


def make_fetch(timeout_s: float, user_agent: str | None, verify: bool) -> Fetch:
    """A function that gets a text over HTTP.

    Args:
        timeout_s: Longest wait for the server, seconds.
        user_agent: Name that the client gives; that of FFmpeg if None.
        verify: Whether a certificate has to be valid.
    """

    def fetch(url: str) -> tuple[str, str]:
        with open_url(url, timeout_s, user_agent, verify) as answer:
            text = answer.read(MOST_BYTES).decode("utf-8-sig")
            # Relative addresses keep the user and password, except on another server.
            return text, url if answer.url == _without_user(url) else answer.url

    return fetch


def open_url(url: str, timeout_s: float, user_agent: str | None, verify: bool) -> HTTPResponse:
    """Ask for a URL over HTTP, with the user and password that are in it.

    Raises:
        OSError: The server cannot be reached, refuses, or has no valid certificate.
        ValueError: It is no URL of HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("only http and https are fetched")
    request = urllib.request.Request(_without_user(url))
    request.add_header("User-Agent", user_agent or USER_AGENT)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s, context=context)
    return answer


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
