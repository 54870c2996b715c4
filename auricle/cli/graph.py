"""`auricle graph`: graph files checked and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

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
    from auricle.service.building import build_graph
    from auricle.service.graph_file import read_graph_file
    from auricle.service.stream_list import list_streams
    from auricle.service.template import for_stream

    built, content = _build(file), read_graph_file(file)
    streams = list_streams(content.streams, file.parent)
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
    from auricle.service.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _build(file: Path) -> Graph:
    from auricle.service.building import build_graph
    from auricle.service.graph_file import read_graph_file
    from auricle.wire.server import check_addresses

    content = read_graph_file(file)
    check_addresses(content.wire)
    return build_graph(content, file.parent)
