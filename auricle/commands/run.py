"""`auricle run`: a graph at work."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.cli import FAILED

if TYPE_CHECKING:
    from auricle.service import Service


@click.command(
    epilog="""\b
Examples:
  auricle run graphs/demo.yaml --listen
  auricle run graphs/live.yaml --input mic
  auricle run graphs/live.yaml --input http://radio.example/stream.mp3 --duration 60
  auricle run graphs/live.yaml --input zmq:tcp://127.0.0.1:5690 --set backbone.hop_size=16"""
)
@click.argument("graph", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "source",
    metavar="WHAT",
    help="Listen to this instead: a file, a URL, mic, mic:NAME, zmq:ADDRESS, or - for raw PCM on stdin.",
)
@click.option(
    "--set",
    "settings",
    metavar="NODE.PARAM=VALUE",
    multiple=True,
    help="Change a parameter of a node; the value is read as YAML.",
)
@click.option(
    "--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop after this."
)
@click.option("--listen", is_flag=True, help="Show what is published, as a subscriber receives it.")
def run(
    graph: Path, source: str | None, settings: tuple[str, ...], duration: float | None, listen: bool
) -> None:
    """Run GRAPH until its input ends, --duration is over, or it is interrupted.

    Predictions, events and the like go to the addresses of the graph file; docs/wire.md says how to read
    them, `auricle listen` shows them.
    """
    from auricle.service import Service, load_graph

    file = load_graph(graph, _values(settings), source)
    service = Service(file, graph.parent)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with service:
        _announce(service)
        if listen:
            _listen(service, stop, duration)
        else:
            _wait(service, stop, duration)
    if service.run.error is not None:
        raise service.run.error


def _values(settings: tuple[str, ...]) -> dict[str, Any]:
    """What `--set` asks for, by `node.param`."""
    import yaml

    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.UsageError(f"--set {setting!r} is not of the form node.param=value")
        values[name] = yaml.safe_load(value)
    return values
