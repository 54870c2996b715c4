"""Compiled programs, kept on disk: compiled for one GPU and one shape, which takes minutes.

A compiled program is used again only if everything that it depends on is the same: the torch
program, the shape, and what the compiler reports of the GPU and of itself. It has a folder of its
own, whose name is the hash of all that, with a description that contains the hash of the file. Only
one process at a time compiles: another may want the same program, and compilers choose by timing.
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

from auricle.errors import ModelError, one_line
from auricle.models.files import locked, new_folder, sha256
from auricle.models.patchout import Kept

CompiledProgram = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""Maps segments (batch, segment_size, bands) to the outputs of the program, each (batch, ...)."""

COMPILED: Final = "compiled.pt2"
DESCRIPTION: Final = "description.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProgramShape:
    """Shape that a program is compiled for.

    Attributes:
        batch: Segments of a batch.
        frames: Frames of a segment.
        bands: Bands of a frame.
        kept: Columns and rows of patches to look at; None for a model without patches.
    """

    batch: int
    frames: int
    bands: int
    kept: Kept | None


class Compiler(Protocol):
    """Compiles torch programs."""

    def traits(self) -> Mapping[str, str]:
        """Everything else that a compiled program depends on: the GPU, versions."""

    def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
        """Compile the torch program in a file, and write the result into another.

        Args:
            program: File of the torch program.
            shape: Shape to compile it for.
            target: File to write.
        """

    def load(self, compiled: Path) -> CompiledProgram:
        """Read a file that `compile` wrote, maybe in another process."""


class ProgramCache:
    """One torch program, compiled at the first call for each shape, later read from disk.

    Args:
        folder: Folder of compiled programs.
        compiler: Compiler to use.
        program: File of the torch program.
        program_sha256: Hash of the file, in hexadecimal digits.
        name: Name of the model, for messages.
    """

    def __init__(
        self, folder: Path, compiler: Compiler, program: Path, program_sha256: str, name: str
    ) -> None:
        self._folder = folder
        self._compiler = compiler
        self._program = program
        self._program_sha256 = program_sha256
        self._name = name

    def compiled(self, shape: ProgramShape) -> CompiledProgram:
        """The program compiled for a shape.

        Raises:
            ModelError: The program cannot be compiled, or the result cannot be written.
        """
        key = {"program": self._program_sha256, "shape": asdict(shape), **self._compiler.traits()}
        text = json.dumps(key, sort_keys=True)
        target = self._folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        if target.is_dir():
            try:
                return self._read(target)
            except Exception as error:  # the libraries raise anything for a broken file
                log.warning(
                    "%s: %s cannot be used, and is compiled again: %s",
                    self._name,
                    target,
                    one_line(error),
                )
        try:
            with locked(self._folder / ".lock", self._warn_of_waiting):
                with contextlib.suppress(Exception):  # most often it does not exist
                    return self._read(target)  # another process may have compiled it by now
                self._remove_leftovers()
                self._compile(shape, key, target)
                return self._read(target)
        except Exception as error:  # the compiler's own errors have no common base but this
            what = f"{self._name}: {self._program} cannot be compiled: {one_line(error)}"
            raise ModelError(what) from error

    def _warn_of_waiting(self) -> None:
        log.warning("%s: waiting for another compilation in %s", self._name, self._folder)

    def _remove_leftovers(self) -> None:
        """Remove files of killed compilations. Called under the lock, so none of them is in use."""
        for path in self._folder.glob(".*-*"):
            shutil.rmtree(path, ignore_errors=True)

    def _compile(self, shape: ProgramShape, key: Mapping[str, Any], target: Path) -> None:
        log.warning(
            "%s: compiling for %s, a batch of %d; this may take minutes, and is kept in %s",
            self._name,
            key.get("gpu", "this machine"),
            shape.batch,
            self._folder,
        )
        with new_folder(target) as new:
            self._compiler.compile(self._program, shape, new / COMPILED)
            description = {**key, "sha256": sha256(new / COMPILED)}
            text = json.dumps(description, indent=2) + "\n"
            (new / DESCRIPTION).write_text(text, encoding="utf-8")

    def _read(self, target: Path) -> CompiledProgram:
        # Checked first: native code that reads a broken file may end the whole process.
        expected = json.loads((target / DESCRIPTION).read_bytes())["sha256"]
        if sha256(target / COMPILED) != expected:
            raise ModelError("its sha256 is not that of its description")
        return self._compiler.load(target / COMPILED)
