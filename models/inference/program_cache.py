"""Engines: models compiled for one GPU and one shape, kept on disk, since compiling takes minutes.

An engine is used again only where all is the same that it depends on: the program, the shape, and
what the compiler says of the GPU and of itself. It lies in a folder of its own, whose name is the
hash of all that, with a description that has the hash of the engine. One at a time is compiled, in
whatever process: another may be the same one, and compilers choose by what they measure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.files import locked, new_folder, sha256
from auricle.models.patchout import Kept

Engine = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""From segments (batch, segment_size, bands) to the outputs of the program, each (batch, ...)."""

ENGINE: Final = "engine.pt2"
DESCRIPTION: Final = "engine.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineShape:
    """What an engine is compiled for.

    Attributes:
        batch: Segments.
        frames: Of a segment.
        bands: Of a frame.
        kept: Patches to look at; None for a model without patches.
    """

    batch: int
    frames: int
    bands: int
    kept: Kept | None


class Compiler(Protocol):
    """Makes engines of programs."""

    def traits(self) -> Mapping[str, str]:
        """What else than program and shape an engine depends on: the GPU, versions."""

    def compile(self, program: Path, shape: EngineShape, engine: Path) -> None:
        """Write the engine of a program."""

    def load(self, engine: Path) -> Engine:
        """Read an engine that `compile` wrote, maybe in another process."""


class EngineCache:
    """Engines of one program, compiled at the first call and read from disk at later ones.

    Args:
        folder: Where engines are kept.
        compiler: Makes them.
        program: File to compile.
        program_sha256: Its hash.
        name: Of the model, for messages.
    """

    def __init__(
        self, folder: Path, compiler: Compiler, program: Path, program_sha256: str, name: str
    ) -> None:
        self._folder = folder
        self._compiler = compiler
        self._program = program
        self._program_sha256 = program_sha256
        self._name = name

    def engine(self, shape: EngineShape) -> Engine:
        """The engine for a shape.

        Raises:
            ModelError: It cannot be compiled, or not be kept.
        """
        key = {"program": self._program_sha256, "shape": asdict(shape), **self._compiler.traits()}
        text = json.dumps(key, sort_keys=True)
        target = self._folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        if target.is_dir():
            try:
                return self._read(target)
            except Exception as error:  # whatever the libraries make of a broken file
                why = " ".join(str(error).split()) or type(error).__name__
                log.warning(
                    "%s: engine %s cannot be used, and is made anew: %s", self._name, target, why
                )
        try:
            with locked(self._folder / ".lock", self._wait):
                with contextlib.suppress(Exception):  # most often there is none
                    return self._read(target)  # which another process may have made meanwhile
                self._sweep()
                self._compile(shape, key, target)
                return self._read(target)
        except Exception as error:  # likewise
            why = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"{self._name}: {self._program} cannot be compiled: {why}") from error

    def _wait(self) -> None:
        log.warning("%s: waiting for another engine to be compiled in %s", self._name, self._folder)

    def _sweep(self) -> None:
        """Remove what killed compilations left. Only called under the lock, so nobody is at any of
        it.
        """
        for path in self._folder.glob(".*-*"):
            shutil.rmtree(path, ignore_errors=True)

    def _compile(self, shape: EngineShape, key: Mapping[str, Any], target: Path) -> None:
        log.warning(
            "%s: compiling for %s, a batch of %d; this may take minutes, and is kept in %s",
            self._name,
            key.get("gpu", "this machine"),
            shape.batch,
            self._folder,
        )
        with new_folder(target) as new:
            self._compiler.compile(self._program, shape, new / ENGINE)
            description = {**key, "sha256": sha256(new / ENGINE)}
            (new / DESCRIPTION).write_text(
                json.dumps(description, indent=2) + "\n", encoding="utf-8"
            )

    def _read(self, target: Path) -> Engine:
        # Looked at first: native code that reads a broken engine may take the process with it.
        said = json.loads((target / DESCRIPTION).read_bytes())["sha256"]
        if sha256(target / ENGINE) != said:
            raise ModelError("its sha256 is not that of its description")
        return self._compiler.load(target / ENGINE)
