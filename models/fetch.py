"""Downloading a file over HTTP, whole or not at all."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Final

from auricle.errors import ModelError
from auricle.models.download import Progress

TIMEOUT_S: Final = 60
"""Seconds without data from the server after which the download fails."""

_CHUNK: Final = 1 << 20
"""Bytes of one read."""

_STEP: Final = 32 << 20
"""Bytes between two lines of progress."""


def fetch(url: str, path: Path, progress: Progress) -> None:
    """Download `url` into the new file `path`.

    A download that fails leaves an incomplete file: `path` should be in a temporary folder.

    Args:
        url: Address of the file.
        path: File to write; it must not exist.
        progress: Function called at the start, and every 32 MiB.

    Raises:
        ModelError: The server does not answer, answers with an error, or sends fewer bytes than it
            announced; the message begins with the URL.
        OSError: The file cannot be written.
    """
    with _open(url) as response, path.open("xb") as file:
        length = response.headers["Content-Length"]
        size = int(length) if length and length.isdigit() else None
        progress(f"downloading {url}" + (f" ({size / 1e6:.1f} MB)" if size else ""))
        done = 0
        for chunk in _chunks(response, url):
            file.write(chunk)
            before, done = done, done + len(chunk)
            if size and done // _STEP > before // _STEP:
                progress(f"{done / 1e6:.0f} of {size / 1e6:.0f} MB")
    if size is not None and done != size:
        raise ModelError(f"{url}: the download was cut off: {done} of {size} bytes came; try again")


def _open(url: str) -> Any:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "auricle"})
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise ModelError(f"{url}: the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise ModelError(f"{url}: cannot be reached: {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a malformed address
        raise ModelError(f"{url}: cannot be reached: {error or type(error).__name__}") from error


def _chunks(response: IO[bytes], url: str) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise ModelError(
            f"{url}: the download was cut off: {error or type(error).__name__}"
        ) from error
