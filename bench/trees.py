"""Source trees of the project, this one and older ones, whose command line can be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.errors import AuricleError, ConfigError
from bench.machine import CHECKOUT
from bench.workers import ENVIRONMENT


@dataclass(frozen=True, slots=True)
class Tree:
    """A source tree, run by the Python that runs this.

    Attributes:
        name: Name of the tree in tables and messages.
        folder: Root folder of the tree.
    """

    name: str
    folder: Path

    def bench(self, name: str, options: Sequence[str]) -> dict[str, Any]:
        """Run `auricle bench NAME --json` with some options, and return the report as it prints it.

        Raises:
            AuricleError: The command fails.
        """
        done = self.python(["-m", "auricle", "bench", name, "--json", *options])
        report: dict[str, Any] = json.loads(done)
        return report

    def python(self, arguments: Sequence[str], text: str = "") -> str:
        """Run Python in the tree with `text` as its standard input; returns its standard output.

        Raises:
            AuricleError: The command fails.
        """
        # Only the tree itself is on the path, beside what is installed: a module of another tree
        # would be measured in its place.
        peers = str(CHECKOUT / ".venv-peers")
        environment = {ENVIRONMENT: peers, **os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise AuricleError(f"{self.name}: {lines[-1]}")
        return done.stdout


HERE = Tree("here", CHECKOUT)
"""This tree, with whatever is changed in it."""


@contextmanager
def checked_out(revision: str) -> Iterator[Tree]:
    """The tree of a commit, in a git worktree that is removed again.

    Args:
        revision: Name of the commit, as git knows it.

    Raises:
        ConfigError: The commit is unknown, or this is not a checkout.
    """
    with tempfile.TemporaryDirectory(prefix="auricle-tree-") as scratch:
        folder = Path(scratch) / "tree"
        _git("worktree", "add", "--detach", str(folder), revision)
        try:
            yield Tree(revision, folder)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    command = ["git", "-C", str(CHECKOUT), *arguments]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise ConfigError(f"git {arguments[0]}: {said[-1]}") from error
