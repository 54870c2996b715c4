"""The command line as a whole: quick to start, helpful, honest about failure."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from auricle import __version__
from auricle.cli import COMMANDS
from tests.cli.command import assert_one_line, auricle

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "tensorflow",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "av",
    "pydantic",
    "rich",
    "zmq",
)


def imported_by(*arguments: str) -> set[str]:
    """Which of the heavy packages a command imports."""
    script = f"import sys; sys.argv = ['auricle', {', '.join(map(repr, arguments))}]\n"
    script += "from auricle.__main__ import main\ntry: main()\nexcept SystemExit: pass\n"
    script += f"print('IMPORTED', *[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_version() -> None:
    result = auricle("--version")
    assert (result.stdout, result.returncode) == (f"auricle {__version__}\n", 0)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["tag", "--help"], ["run", "--help"]]
)
def test_nothing_heavy_is_imported_to_answer_quickly(arguments: list[str]) -> None:
    assert imported_by(*arguments) == set()


def test_models_are_listed_without_the_machinery() -> None:
    assert imported_by("models", "list").isdisjoint(
        {"torch", "tensorflow", "numba", "onnx", "onnxruntime", "av"}
    )


@pytest.mark.slow
def test_tagging_needs_no_torch() -> None:
    assert "torch" not in imported_by("tag", "tests/data/reference.flac")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = auricle(command, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Usage: auricle {command}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tga"], "No such command 'tga' (did you mean tag?); commands are: "),
        (["runn"], "No such command 'runn' (did you mean run?)"),
        (["xyz"], "No such command 'xyz'; commands are: "),
        (["graph", "chek"], "No such command 'chek' (did you mean check?)"),
        (["control", "tcp://127.0.0.1:1", "add-heed"], "(did you mean add-head?)"),
    ],
)
def test_unknown_command(words: list[str], message: str) -> None:
    result = auricle(*words)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("module", "package", "arguments"),
    [
        ("auricle.cli", "torch", ["models", "export", __file__, "new"]),
        ("auricle.train", "mutagen", ["corpus", "."]),
    ],
)
def test_a_missing_package_of_training_is_one_line(
    module: str, package: str, arguments: list[str], tmp_path: Path
) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\nfrom {module} import cli\ncli({arguments})"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if module == "auricle.train" and find_spec("pyarrow") is None:
        package = "pyarrow"  # the first that is missing is named
    assert_one_line(result, f"needs {package}: pip install 'auricle[train]'")
