"""`auricle graph`: graph files checked and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from auricle.engine.graph import Graph

FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def graph() -> None:
    """Check graph files, and look at them."""


@graph.command()
@FILE
def check(file: Path) -> None:
    """Check a graph file: classes, parameters, ports, rates, models. Nothing is opened."""
    from auricle.service.graph_file import load, streams_of
    from auricle.service.service import build_graph, for_stream

    built, content = _build(file), load(file)
    streams = streams_of(content, file.parent)
    for spec in streams:
        build_graph(for_stream(content, spec, file.parent), file.parent)
    many = "" if content.streams is None else f", {len(streams)} streams"
    click.echo(f"{file}: ok, {len(built.nodes)} nodes, {len(built.edges)} edges{many}")


@graph.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "json"]),
    default="text",
    show_default=True,
    help="Mermaid draws it in Markdown.",
)
@FILE
def show(file: Path, form: str) -> None:
    """Show the nodes of a graph, their ports, rates, rings, and how late it speaks."""
    from auricle.cli import diagram

    built = _build(file)
    if form == "text":
        click.echo(diagram.text(built))
    elif form == "mermaid":
        click.echo(diagram.mermaid(built))
    else:
        click.echo(json.dumps(diagram.description(built), indent=2))


@graph.command()
def schema() -> None:
    """Print the JSON Schema of graph files, for editors."""
    from auricle.nodes import CLASSES
    from auricle.service.graph_file import json_schema

    content: dict[str, Any] = json_schema(CLASSES)
    click.echo(json.dumps(content, indent=2))


def _build(file: Path) -> Graph:
    from auricle.service.graph_file import load
    from auricle.service.service import build_graph
    from auricle.wire.server import check_addresses

    content = load(file)
    check_addresses(content.wire)
    return build_graph(content, file.parent)
