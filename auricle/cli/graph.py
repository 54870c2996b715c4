"""`auricle graph`: listing, checking, showing and copying graph files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auricle.cli.graph_names import SHIPPED, find_graph, shipped_graphs
from auricle.cli.group import Group
from auricle.cli.output import say

if TYPE_CHECKING:
    from auricle.engine.graph import Graph
    from auricle.service.graph_file import GraphFile

GRAPH = click.argument("graph")


@click.group(
    cls=Group,
    epilog="GRAPH is a file, or the name of a graph that `auricle graph list` lists.",
)
def graph() -> None:
    """List, check, show and copy graph files."""


@graph.command("list")
def list_graphs() -> None:
    """List the graphs that come with Auricle."""
    from auricle.service.graph_file import read_graph_file

    names = shipped_graphs()
    width = max(map(len, names))
    for name in names:
        say(f"{name:<{width}}  {read_graph_file(find_graph(name)).description}")
    say(f"\nThey are in {SHIPPED}; auricle graph new NAME copies one to change.", err=True)


@graph.command(
    epilog="""\b
Examples:
  auricle graph new live
  auricle graph new radio stations/rock.yaml"""
)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def new(name: str, file: Path | None) -> None:
    """Copy a graph, to start your own from.

    NAME is a graph that comes with Auricle, or a file. FILE is the copy, NAME.yaml by default. The
    heads, sounds and lists of sources that the graph names are copied beside it.
    """
    from auricle.cli.graph_copy import copy_graph

    source = find_graph(name)
    target = file or Path(source.name)
    for path in copy_graph(source, target):
        say(f"written: {path}", err=True)
    say(f"try: auricle run {target}", err=True)


@graph.command()
@GRAPH
def check(graph: str) -> None:
    """Check a graph without running it.

    Checks classes, parameters, ports, rates, models and addresses; opens no device or socket.
    """
    from auricle.service.building import build_graph
    from auricle.service.overrides import for_stream
    from auricle.service.stream_list import list_streams

    path = find_graph(graph)
    file, built = _build(path)
    streams = list_streams(file.streams, path.parent)
    for spec in streams:
        build_graph(for_stream(file, spec, path.parent), path.parent)
    many = "" if file.streams is None else f", {len(streams)} streams"
    say(f"{path}: ok, {len(built.nodes)} nodes, {len(built.edges)} edges{many}")


@graph.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "json"]),
    default="text",
    show_default=True,
    help="Form of the output; mermaid is a chart for Markdown.",
)
@GRAPH
def show(graph: str, form: str) -> None:
    """Show nodes, ports, rates, rings and latency of a graph.

    Windows and rings are in tokens, rates in Hz, latencies in seconds or ms.
    """
    from auricle.cli import diagram

    _, built = _build(find_graph(graph))
    if form == "text":
        say(diagram.text(built))
    elif form == "mermaid":
        say(diagram.mermaid(built))
    else:
        say(json.dumps(diagram.description(built), indent=2))


@graph.command()
def schema() -> None:
    """Print the JSON Schema of graph files, for editors."""
    from auricle.service.schema import json_schema

    say(json.dumps(json_schema(), indent=2))


def _build(path: Path) -> tuple[GraphFile, Graph]:
    """Read and build a graph, and check the addresses of its sockets."""
    from auricle.service.building import build_graph
    from auricle.service.graph_file import read_graph_file
    from auricle.wire.server import check_addresses

    file = read_graph_file(path)
    check_addresses(file.wire)
    return file, build_graph(file, path.parent)
