"""What is imported when: quick answers import little, and what runs graphs imports no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.sources import ROOT

TRAINING = {"auricle.training", "faiss", "lightning", "mutagen", "pyarrow", "sklearn", "torch"}

SLOW = TRAINING | {
    "asyncio",
    "av",
    "msgpack",
    "msgspec",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "pydantic",
    "rich",
    "scipy",
    "sounddevice",
    "soxr",
    "yaml",
    "zmq",
}

COMMAND = """
import contextlib, sys
sys.argv = ["auricle", *{arguments}]
from auricle.__main__ import main
with contextlib.suppress(SystemExit):
    main()
print(*sys.modules)
"""


def modules_after(code: str) -> set[str]:
    """Names of all modules that are loaded once some code has run."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def modules_after_command(*arguments: str) -> set[str]:
    """Names of all modules that are loaded once a command has run."""
    return modules_after(COMMAND.format(arguments=arguments))


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_quick_answers_import_little(option: str) -> None:
    names = modules_after_command(option)
    assert not names & SLOW
    ours = {name for name in names if name.partition(".")[0] == "auricle"}
    assert "auricle.cli" in ours
    assert not {name for name in ours if not name.startswith(("auricle.cli", "auricle.errors"))} - {
        "auricle",
        "auricle.__main__",
    }


def test_import_auricle_imports_little() -> None:
    assert not modules_after("import sys, auricle\nprint(*sys.modules)") & SLOW


@pytest.mark.parametrize("name", ["control", "devices", "graph", "listen", "models", "run", "tag"])
def test_help_of_a_command_imports_no_inference(name: str) -> None:
    names = modules_after_command(name, "--help")
    assert f"auricle.cli.{name}" in names
    assert not names & (TRAINING | {"av", "numba", "onnxruntime"})


def test_running_a_graph_imports_no_torch(tmp_path: Path) -> None:
    graph = (ROOT / "graphs/demo.yaml").read_text(encoding="utf-8")
    for port in ("5680", "5681", "5682"):
        graph = graph.replace(port, "*")
    graph = graph.replace("demo/demo.ogg", str(ROOT / "graphs/demo/demo.ogg"))
    (tmp_path / "graph.yaml").write_text(graph, encoding="utf-8")
    path = str(tmp_path / "graph.yaml")
    names = modules_after_command("run", path, "--set", "input.realtime=false", "--listen")
    assert {"onnxruntime", "auricle.nodes.backbone", "auricle.wire.client"} <= names
    assert not names & TRAINING


def test_tagging_a_file_imports_no_torch() -> None:
    names = modules_after_command("tag", str(ROOT / "graphs/demo/demo.ogg"))
    assert "auricle.nodes.backbone" in names
    assert not names & TRAINING
