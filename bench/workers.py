"""Contenders in separate processes, which stay warm and run on request.

Other programs need their own environment, and no contender should run in a process in which another
has left caches, threads and allocations. A contender is a script in `bench/contenders/`;
`protocol.py` there describes the lines that are exchanged.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from auricle.errors import AuricleError, ConfigError
from bench.machine import CHECKOUT

CONTENDERS = Path(__file__).resolve().parent / "contenders"

STOP_S = 5.0
"""Longest wait for a contender to end before it is killed."""

ENVIRONMENT = "AURICLE_PEERS"
"""Environment variable with the folder of the peers' virtual environment."""


def peers_python(environment: Path | None = None) -> Path:
    """The Python of the peers' virtual environment.

    Args:
        environment: Folder of the environment; None for `$AURICLE_PEERS` or `.venv-peers`.

    Raises:
        ConfigError: The environment does not exist; the message says how to make it.
    """
    folder = environment or Path(os.environ.get(ENVIRONMENT) or CHECKOUT / ".venv-peers")
    python = folder / "bin" / "python"
    if not python.exists():
        raise ConfigError(f"{folder}: no environment with the peers; make it with: make peers")
    return python


class Worker:
    """A contender's process.

    Args:
        name: Name for messages.
        python: Interpreter of its environment.
        script: Script that it runs.
        settings: Settings that are handed to it at the start.
        threads: Threads of BLAS, OpenMP and TensorFlow that it may use; None leaves that to them.

    Attributes:
        versions: Versions of what it consists of, by package.

    Raises:
        ConfigError: The process does not start, for want of a package for example.
        AuricleError: The process failed; raised by `ask` and `answer`.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        script: Path,
        settings: Mapping[str, Any],
        threads: int | None = None,
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(python), str(script), json.dumps(dict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=_environment(python, threads),
        )
        try:
            self.versions: dict[str, str] = self.answer()["versions"]
        except AuricleError as error:
            self.close()
            raise ConfigError(error.message) from error

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request, and return the answer."""
        self.begin(**request)
        return self.answer()

    def begin(self, **request: Any) -> None:
        """Send a request without waiting for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and `answer` reports how

    def answered(self, seconds: float) -> bool:
        """Whether `answer` has something to return now, or within some seconds."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def answer(self) -> dict[str, Any]:
        """The answer to the last request."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(STOP_S)
            raise AuricleError(
                f"{self.name} ended with code {self._process.returncode}: {self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AuricleError(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        """End the process. May be called twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _environment(python: Path, threads: int | None) -> dict[str, str]:
    """Variables of a contender's process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    if threads is not None:
        environment |= dict.fromkeys(_THREADS, str(threads)) | {"TF_NUM_INTEROP_THREADS": "1"}
    if python == Path(sys.executable):
        environment["PYTHONPATH"] = os.pathsep.join([str(CHECKOUT), *sys.path])
    return environment


_THREADS: Sequence[str] = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
