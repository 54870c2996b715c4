"""Sphinx extension: writes the reference pages from the classes that they describe.

Before anything is read, `generated/` gets five pages: the nodes of `auricle.nodes.CLASSES` with
their ports and parameters, the form of a graph file, the help of every command, the public names of
`auricle`, and what was measured last. Nothing on these pages is kept by hand.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from msgspec import Struct
from parameters import table
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock

import auricle
from auricle.cli.group import TRAINING_PACKAGES
from auricle.engine.node import Node
from auricle.engine.port import InputPort, OutputPort
from auricle.models import DEFAULT_MODEL
from auricle.nodes import CLASSES
from auricle.service.graph_file import GraphFile

ROOT = Path(__file__).resolve().parents[2]

EXAMPLES = {"model": DEFAULT_MODEL, "path": "song.flac", "url": "http://radio.example/live.ogg"}
"""Values of required parameters, with which a node is made to read its ports."""

PAGES_OF = {
    "../training/RESULTS.md": "results.md",
    "../bench/results": "generated/measurements.md",
}
"""Links from the pages to what lies outside of `docs`, and which pages show it."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Have the pages written when a build begins."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_within)
    app.connect("autodoc-process-signature", without_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write the pages whose text has changed, so that only those are read again."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    pages = {
        "nodes": nodes_page(),
        "graph-file": graph_file_page(),
        "commands": commands_page(),
        "python": python_page(),
        "measurements": measurements_page(),
    }
    for name, lines in pages.items():
        path, text = folder / f"{name}.md", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def link_within(app: Sphinx, name: str, content: list[str]) -> None:
    """Lead links to files of the repository, which a forge shows, to the pages made of them."""
    for file, page in PAGES_OF.items():
        content[0] = content[0].replace(f"]({file})", f"]({page})")


# -- nodes -----------------------------------------------------------------------------------------


def nodes_page() -> list[str]:
    """The page of nodes, one section for each class that graph files can name."""
    lines = [
        "# Nodes and their parameters",
        "",
        "Every class that a graph file can name, read from the code: ports with the type of their",
        "tokens, and parameters with type, default and range. A parameter without a default is",
        "optional unless it says *required*. [Graphs](../graphs.md) explains how nodes are put",
        "together, and [Write a node](../write-a-node.md) how to add one.",
    ]
    for name, place in CLASSES.items():
        module, _, class_name = place.partition(":")
        lines += ["", *_node_section(name, getattr(importlib.import_module(module), class_name))]
    return lines


def _node_section(name: str, node_class: type[Node]) -> Iterator[str]:
    parameters = node_class.Params.model_fields
    node = node_class(
        "node", **{key: EXAMPLES[key] for key, each in parameters.items() if each.is_required()}
    )
    yield f"({name.lower()})="
    yield f"## {name}"
    yield ""
    yield _description(node_class)
    yield ""
    yield f"In Python: `{node_class.__module__}.{node_class.__qualname__}`."
    yield ""
    yield "| port | meaning | side | tokens |"
    yield "|---|---|---|---|"
    for port in (*node.inputs.values(), *node.outputs.values()):
        side = "input" if isinstance(port, InputPort) else "output"
        yield f"| `{port.name}` | {port.doc} | {side} | {_tokens(port)} |"
    yield ""
    yield from table(node_class.Params)


def _tokens(port: InputPort | OutputPort) -> str:
    """What passes a port, in words; an input says its windows, too."""
    words = [_dtype(port)]
    words += [str(axis) for axis in port.axes or ()]
    if port.rate is not None:
        words.append(f"at {float(port.rate):.6g} Hz")
    if isinstance(port, OutputPort):
        if port.follows is not None:
            words.append(f"one for each window of `{port.follows.name}`")
        return ", ".join(words)
    if port.frame_size > 1:
        words.append(f"windows of {port.frame_size} every {port.hop_size}")
    if port.many:
        words.append("several streams")
    if port.optional:
        words.append("optional")
    return ", ".join(words)


def _dtype(port: InputPort | OutputPort) -> str:
    if port.dtype is None:
        return "any array"
    return f"`{getattr(port.dtype, 'name', None) or getattr(port.dtype, '__name__', port.dtype)}`"


def _description(item: Any) -> str:
    """The docstring as Markdown, up to its first section."""
    text = inspect.getdoc(item) or ""
    return re.split(r"\n(?=(?:Args|Attributes|Raises|Example|Returns)\b.*:\n)", text)[0].strip()


# -- graph files -----------------------------------------------------------------------------------


def graph_file_page() -> list[str]:
    """The page of the keys of a graph file."""
    return [
        "# Keys of a graph file",
        "",
        "Read from `auricle.service.graph_file`. `auricle graph schema` prints the same as a JSON",
        "Schema, with the parameters of every node.",
        "",
        *table(GraphFile),
    ]


# -- commands --------------------------------------------------------------------------------------


def commands_page() -> list[str]:
    """The page of the help of every command of `auricle` and `auricle-train`."""
    from auricle.cli import cli
    from auricle.train import cli as train

    absent = [name for name in TRAINING_PACKAGES if find_spec(name) is None]
    lines = [
        "# Commands",
        "",
        "The help of every command, as `--help` prints it.",
    ]
    with mock(absent):  # the help of a command needs none of the packages that it imports
        for name, command in (("auricle", cli), ("auricle-train", train)):
            lines += _help(name, command, None, 2)
    return lines


def _help(
    path: str, command: click.Command, parent: click.Context | None, depth: int
) -> Iterator[str]:
    context = command.make_context(
        path.split()[-1], [], parent=parent, resilient_parsing=True, max_content_width=90
    )
    context.info_name = path if parent is None else path.split()[-1]
    yield ""
    yield f"{'#' * min(depth, 4)} {path}"
    yield ""
    yield "```text"
    yield command.get_help(context)
    yield "```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _help(f"{path} {name}", found, context, depth + 1)


# -- Python ----------------------------------------------------------------------------------------


def python_page() -> list[str]:
    """The page of what `import auricle` offers, from its docstrings."""
    names = sorted((name for name in auricle.__all__ if name[0] != "_"), key=str.lower)
    errors = [name for name in names if _is_error(getattr(auricle, name))]
    lines = [
        "# Python API",
        "",
        "What `import auricle` offers. Other modules can be imported, too, and may change from one",
        "version to the next. A message has the fields of its type, as attributes: see",
        "[The wire](../wire.md). An error becomes one line and an exit code on the command line:",
        "see [Operations](../operations.md#exit-codes).",
    ]
    for title, found in (
        ("Functions and classes", [name for name in names if name not in errors]),
        ("Errors", errors),
    ):
        lines += ["", f"## {title}", "", "```{eval-rst}", ".. currentmodule:: auricle"]
        for name in found:
            lines += ["", *_directive(name, getattr(auricle, name))]
        lines += ["```"]
    return lines


def _is_error(item: object) -> bool:
    return inspect.isclass(item) and issubclass(item, BaseException)


def _directive(name: str, item: object) -> list[str]:
    """The directive of autodoc that describes a public name."""
    if _is_error(item):
        return [f".. autoexception:: {name}", "   :show-inheritance:"]
    if inspect.isclass(item):
        return [f".. autoclass:: {name}", "   :members:", "   :inherited-members: object,Struct"]
    return [f".. autofunction:: {name}"]


def without_fields(
    app: Sphinx, what: str, name: str, item: object, options: object, *signature: str | None
) -> tuple[str | None, str | None] | None:
    """Leave out the signature of a message, whose fields are in tables on another page."""
    if inspect.isclass(item) and issubclass(item, Struct):
        return "", None
    return None


# -- measurements ----------------------------------------------------------------------------------


def measurements_page() -> list[str]:
    """The page of the reports in `bench/results`, with their plots."""
    from bench.report import Report

    lines = [
        "# Measurements",
        "",
        "The reports in `bench/results`, as the commands of `auricle bench` saved them last.",
        "[Measuring](../bench.md) says what each column means. Ratios within a table hold on other",
        "machines, too; absolute figures belong to the machine and the hour.",
    ]
    for path in sorted((ROOT / "bench/results").glob("*.json")):
        report = Report.load(path)
        lines += ["", f"## {path.stem}", "", f"{report.title}.", ""]
        if path.with_suffix(".png").exists():
            lines += [f"![{report.title}](../../bench/results/{path.stem}.png)", ""]
        lines += ["```text", report.text(), "```"]
    return lines
