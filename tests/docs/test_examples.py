"""Every command, program and graph on the pages does what the page says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pydantic import ValidationError

from auricle.cli import cli
from auricle.cli.control import ControlGroup
from auricle.errors import ConfigError
from auricle.service.building import find_class
from auricle.service.graph_file import GraphFile, NodeSpec
from auricle.train import cli as train
from tests.docs.blocks import ROOT, Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page)]
RUN = [block for block in BLOCKS if block.language in ("sh", "python") and block.mark != "not run"]
TRAINING = ("docs/add-an-objective.md",)
"""Pages whose examples need the extra train."""
COMMANDS = {"auricle": cli, "auricle-train": train}
ENDLESS = "run until it prints, beside"
BESIDE = ("run beside", ENDLESS)
PORTS = ("5680", "5681", "5682", "5690")
"""Ports that the pages name; the tests use others, which are free."""


def test_comments_above_blocks_are_known() -> None:
    assert {block.mark for block in BLOCKS} <= {"", "not run", "output", *BESIDE}


def test_only_what_says_why_is_not_run() -> None:
    assert not [str(block) for block in BLOCKS if block.mark == "not run" and not block.what]


# -- commands are parsed, whether they are run or not ----------------------------------------------


def commands_of(text: str) -> Iterator[list[str]]:
    """The commands of ours in a block of `sh`, in words."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                if command and Path(command[0]).name in COMMANDS:
                    yield command
                command = []
            else:
                command.append(word)


def parse(command: list[str]) -> None:
    """Have click read a command, to its last option, without calling it."""
    name, *words = command[: next((i for i, word in enumerate(command) if word[0] in "<>"), None)]
    found: click.Command = COMMANDS[Path(name).name]
    context: click.Context | None = None
    while isinstance(found, click.Group):
        if isinstance(found, ControlGroup):
            words = found.with_address(words)
        context = found.make_context(name, words, parent=context)
        _, rest, _ = found.make_parser(context).parse_args(list(words))
        if not rest:
            return
        picked, chosen, words = found.resolve_command(context, rest)
        assert picked is not None
        assert chosen is not None
        name, found = picked, chosen
    found.make_context(name, words, parent=context)


PARSED = [
    pytest.param(command, id=f"{block}-{' '.join(command)[:50]}")
    for block in BLOCKS
    if block.language == "sh"
    for command in commands_of(block.text)
]


@pytest.mark.parametrize("command", PARSED)
def test_commands_have_their_options(command: list[str]) -> None:
    if Path(command[0]).name == "auricle-train":
        pytest.importorskip("pyarrow", reason="needs the extra train")
    try:
        parse(command)
    except click.exceptions.Exit:
        pass  # --help
    except click.BadParameter as error:
        if "does not exist" not in str(error):  # files are another test's
            raise


def test_an_option_that_is_not_there_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["auricle", "tag", "song.mp3", "--tempo"])
    assert list(commands_of("x | auricle tag a --jsonl > b")) == [
        ["auricle", "tag", "a", "--jsonl", ">", "b"]
    ]


# -- graphs ----------------------------------------------------------------------------------------

GRAPHS = [block for block in BLOCKS if block.language == "yaml" and block.mark != "not run"]


def check_node(content: Mapping[str, Any]) -> None:
    """Refuse a node whose class or parameters are not there; models are not looked for."""
    spec = NodeSpec.model_validate(content)
    if ":" not in spec.class_:
        find_class(spec.class_, node=spec.id).Params.model_validate(spec.params)


def check_graph(content: Any) -> None:
    """Refuse anything but a graph file, a part of one, or a list of nodes."""
    if isinstance(content, list):
        for each in content:
            check_node(each)
        return
    demo = yaml.safe_load((ROOT / "graphs/demo.yaml").read_text(encoding="utf-8"))
    file = GraphFile.model_validate(content if "nodes" in content else {**demo, **content})
    for spec in file.nodes:
        check_node(spec.model_dump(by_alias=True))


@pytest.mark.parametrize("block", GRAPHS, ids=str)
def test_graphs_can_be_read(block: Block) -> None:
    check_graph(yaml.safe_load(block.text))


@pytest.mark.parametrize(
    "text", ["wires: {}", "- {id: mel, class: MelSpectrogram, params: {x: 1}}"]
)
def test_a_key_that_is_not_there_would_be_found(text: str) -> None:
    with pytest.raises((ValidationError, ConfigError)):
        check_graph(yaml.safe_load(text))


# -- what is run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folders with what the examples speak of: graphs, a song, a folder of music, the commands."""

    def make(page: str, ports: Mapping[str, str]) -> Path:
        folder = tmp_path_factory.mktemp(Path(page).stem)
        for source in ("graphs", "docs/examples"):
            shutil.copytree(ROOT / source, folder, dirs_exist_ok=True)
        for path in folder.glob("*.yaml"):
            path.write_text(_moved(path.read_text(encoding="utf-8"), ports), encoding="utf-8")
        (folder / "Music").mkdir()
        for name in ("song.mp3", "song.flac", "Music/song.ogg"):
            shutil.copy(ROOT / "graphs/demo/demo.ogg", folder / name)
        (folder / "bin").mkdir()
        words = {"auricle": "-m auricle", "auricle-train": "-m auricle.train", "python": ""}
        for name, arguments in words.items():
            script = folder / "bin" / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
            script.chmod(0o755)
        return folder

    return make


def _moved(text: str, ports: Mapping[str, str]) -> str:
    """The same text with other ports, and paths of the folder for the names of graphs."""
    for usual, free in ports.items():
        text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{free}")
    return re.sub(r"\bauricle run (demo|live|radio)\b", r"auricle run ./\1.yaml", text)


def _free_ports() -> dict[str, str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip(PORTS, ports, strict=True))


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


@contextmanager
def _running(command: str, folder: Path, ports: Mapping[str, str]) -> Iterator[None]:
    """Run an engine in the background, from when it answers on its control socket."""
    from auricle import request

    with subprocess.Popen(
        shlex.split(_moved(command, ports)), cwd=folder, env=_environment(folder)
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, f"{command} has ended"
                try:
                    states = request(f"tcp://127.0.0.1:{ports['5682']}", "list", timeout_s=1)
                    if all(each["state"] == "running" for each in states.values()):
                        break
                except Exception:
                    assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGINT)


def _run(block: Block, folder: Path, ports: Mapping[str, str]) -> str:
    """Run a block; returns what it prints, or the first line if it would never end."""
    text = _moved(block.text, ports)
    if block.language == "sh":
        arguments = ["bash", "-euo", "pipefail", "-c", text]
    else:
        arguments = [sys.executable, "-u", "-c", text]
    with subprocess.Popen(
        arguments,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(500, process.kill)
        timer.start()
        try:
            if block.mark == ENDLESS:
                assert process.stdout is not None
                assert process.stderr is not None
                printed = process.stdout.readline()
                assert printed, f"{block}: {process.stderr.read()}"
                return printed
            printed, errors = process.communicate()
        finally:
            timer.cancel()
            process.kill()
    assert process.returncode == 0, f"{block}: {errors}"
    return printed


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_examples_run(page: str, folder_of: Any) -> None:
    if page in TRAINING:
        pytest.importorskip("lightning", reason="needs the extra train")
    ports = _free_ports()
    folder = folder_of(page, ports)
    printed = ""
    for block in blocks(page):
        if block.mark == "output":
            assert printed.strip() == block.text.strip(), block
        elif block in RUN:
            if block.mark in BESIDE:
                with _running(block.what, folder, ports):
                    printed = _run(block, folder, ports)
            else:
                printed = _run(block, folder, ports)
