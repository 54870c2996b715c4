"""Compiled programs on disk: once for all that they depend on, and again when broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from auricle.errors import ModelError
from auricle.models import files
from auricle.models.files import sha256
from auricle.models.inference.program import TorchTensorrt
from auricle.models.inference.program_cache import (
    COMPILED,
    DESCRIPTION,
    CompiledProgram,
    ProgramCache,
    ProgramShape,
)

SHAPE = ProgramShape(4, 3, 2, ((0, 1), (0,)))
TRAITS = {
    "gpu": "Toy 1",
    "capability": "9.0",
    "torch": "2.9",
    "torch_tensorrt": "2.8",
    "tensorrt": "10.1",
}


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[2])}

KILLED = """
import os, pathlib, signal, sys
from auricle.models.files import locked, new_folder
folder = pathlib.Path(sys.argv[1])
with locked(folder / ".lock", print), new_folder(folder / ("a" * 32)) as new:
    (new / "half").write_text("a program")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Toy:
    """A compiled program multiplies by the number in its torch program."""

    def __init__(self, traits: Mapping[str, str] = TRAITS) -> None:
        self._traits = traits
        self.compiled: list[ProgramShape] = []
        self.loaded: list[Path] = []
        self.fails: BaseException | None = None

    def traits(self) -> Mapping[str, str]:
        return self._traits

    def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
        self.compiled.append(shape)
        target.write_text(f"times {program.read_text()}")
        if self.fails:
            raise self.fails

    def load(self, compiled: Path) -> CompiledProgram:
        self.loaded.append(compiled)
        word, factor = compiled.read_text().split()
        assert word == "times", "no program"
        return lambda segments: [segments * np.float32(factor)]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "model.pt2").write_text("3")
    return tmp_path / "model.pt2"


def cache(program: Path, compiler: Toy) -> ProgramCache:
    return ProgramCache(program.parent / "programs", compiler, program, sha256(program), "toy")


def folders(program: Path) -> list[Path]:
    """Folders of compiled programs, and what is left of some."""
    return sorted(path for path in (program.parent / "programs").iterdir() if path.name != ".lock")


def test_a_second_start_reads_what_the_first_compiled(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segments = np.ones((4, 3, 2), np.float32)
    first, second = Toy(), Toy()
    assert cache(program, first).compiled(SHAPE)(segments)[0].tolist() == (3 * segments).tolist()
    (line,) = caplog.messages
    assert line.startswith("toy: compiling for Toy 1, a batch of 4; this may take minutes")
    assert cache(program, second).compiled(SHAPE)(segments)[0].tolist() == (3 * segments).tolist()
    assert (first.compiled, second.compiled) == ([SHAPE], [])
    assert len(caplog.messages) == 1
    (folder,) = folders(program)
    assert {path.name for path in folder.iterdir()} == {COMPILED, DESCRIPTION}
    said = json.loads((folder / DESCRIPTION).read_text())
    assert said["gpu"] == "Toy 1"
    assert said["sha256"] == sha256(folder / COMPILED)


def test_what_torch_tensorrt_compiles_depends_on_the_gpu_and_on_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = SimpleNamespace(get_device_name=lambda: "Toy 1", get_device_capability=lambda: (9, 0))
    torch = SimpleNamespace(cuda=cuda, __version__="2.9")
    monkeypatch.setitem(sys.modules, "torch", torch)
    for name in ("torch_tensorrt", "tensorrt"):
        module = SimpleNamespace(__version__=TRAITS[name])
        monkeypatch.setitem(sys.modules, name, module)
    assert TorchTensorrt().traits() == TRAITS


@pytest.mark.parametrize("trait", sorted(TRAITS))
def test_another_gpu_or_version_has_another_compiled_one(program: Path, trait: str) -> None:
    one, other = Toy(), Toy({**TRAITS, trait: "another"})
    cache(program, one).compiled(SHAPE)
    cache(program, other).compiled(SHAPE)
    cache(program, one).compiled(SHAPE)
    assert (one.compiled, other.compiled) == ([SHAPE], [SHAPE])
    assert len(folders(program)) == 2


@pytest.mark.parametrize(
    "shape",
    [
        ProgramShape(1, 3, 2, ((0, 1), (0,))),
        ProgramShape(4, 5, 2, ((0, 1), (0,))),
        ProgramShape(4, 3, 7, ((0, 1), (0,))),
        # As many tokens, other ones.
        ProgramShape(4, 3, 2, ((0, 2), (0,))),
        ProgramShape(4, 3, 2, ((0, 1), (1,))),
        ProgramShape(4, 3, 2, ((0,), (0, 1))),
        ProgramShape(4, 3, 2, None),
    ],
)
def test_another_shape_has_another_compiled_one(program: Path, shape: ProgramShape) -> None:
    compiler = Toy()
    for each in (SHAPE, shape, SHAPE, shape):
        cache(program, compiler).compiled(each)
    assert compiler.compiled == [SHAPE, shape]


def test_another_program_has_another_compiled_one(program: Path) -> None:
    compiler = Toy()
    cache(program, compiler).compiled(SHAPE)
    program.write_text("5")
    assert cache(program, compiler).compiled(SHAPE)(np.ones(1, np.float32))[0] == 5
    assert compiler.compiled == [SHAPE, SHAPE]


@pytest.mark.parametrize(
    "damage", ["cut", "no program", "no description", "no JSON", "other words"]
)
def test_a_broken_one_is_compiled_again_with_one_line(
    program: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache(program, Toy()).compiled(SHAPE)
    (folder,) = folders(program)
    compiled, description = folder / COMPILED, folder / DESCRIPTION
    if damage == "cut":
        compiled.write_bytes(compiled.read_bytes()[:-1])
    elif damage == "no program":
        compiled.unlink()
    elif damage == "no description":
        description.unlink()
    elif damage == "no JSON":
        description.write_text("{")
    else:  # whole, and nothing that the library reads
        compiled.write_text("nothing here")
        description.write_text(json.dumps({"sha256": sha256(compiled)}))
    caplog.clear()
    compiler = Toy()
    assert cache(program, compiler).compiled(SHAPE)(np.ones(1, np.float32))[0] == 3
    assert compiler.compiled == [SHAPE]
    assert len(caplog.messages) == 2
    assert "cannot be used, and is compiled again: " in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    if damage == "cut":
        assert len(compiler.loaded) == 1, "what is not whole is not read"
    again = Toy()
    cache(program, again).compiled(SHAPE)
    assert again.compiled == []
    assert folders(program) == [folder]


def test_what_cannot_be_compiled_leaves_nothing(program: Path) -> None:
    compiler = Toy()
    compiler.fails = RuntimeError("out of\nmemory")
    with pytest.raises(ModelError, match=r"^toy: .*model.pt2 cannot be compiled: out of memory$"):
        cache(program, compiler).compiled(SHAPE)
    assert folders(program) == []
    compiler.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cache(program, compiler).compiled(SHAPE)
    assert folders(program) == []
    compiler.fails = None
    cache(program, compiler).compiled(SHAPE)
    assert len(folders(program)) == 1


def test_who_needs_what_another_compiles_waits_and_reads_it(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Toy):
        begun, go_on = threading.Event(), threading.Event()

        def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
            self.begun.set()
            assert self.go_on.wait(30)
            super().compile(program, shape, target)

    first, second = Slow(), Toy()
    found: list[CompiledProgram] = []
    threads = [
        threading.Thread(
            target=lambda each=each: found.append(cache(program, each).compiled(SHAPE))
        )
        for each in (first, second)
    ]
    threads[0].start()
    assert first.begun.wait(30)
    threads[1].start()
    while not any("waiting for another compilation" in line for line in caplog.messages):
        threads[1].join(0.01)
        assert threads[1].is_alive()
    first.go_on.set()
    for thread in threads:
        thread.join(30)
    assert [compiled(np.ones(1, np.float32))[0] for compiled in found] == [3, 3]
    assert (first.compiled, second.compiled) == ([SHAPE], [])
    assert len(folders(program)) == 1


def test_what_a_killed_process_left_is_removed(program: Path) -> None:
    """One that was killed while it compiled, and nobody's program."""
    left = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(program.parent / "programs")], env=ENVIRONMENT
    )
    assert left.wait(60) == -signal.SIGKILL
    (half,) = folders(program)
    assert (half / "new" / "half").is_file()
    other = program.parent / "programs" / "onnxruntime-0123"
    other.mkdir()
    cache(program, Toy()).compiled(SHAPE)
    compiled, kept = folders(program)
    assert kept == other
    assert {path.name for path in compiled.iterdir()} == {COMPILED, DESCRIPTION}


def test_a_folder_that_cannot_be_written(program: Path) -> None:
    (program.parent / "programs").write_text("a file")
    with pytest.raises(ModelError, match=r"^toy: .*model.pt2 cannot be compiled: "):
        cache(program, Toy()).compiled(SHAPE)
