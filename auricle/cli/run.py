"""`auricle run`: a graph at work."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from auricle.cli.graph_names import find_graph
from auricle.cli.options import parse_settings

if TYPE_CHECKING:
    from auricle.engine.run import Run
    from auricle.service.service import Service

SETTLE_S = 1.0
PATIENCE_S = 1.0
"""Longest wait for the first sound before the stream is announced."""

SWITCH_S = 0.0005
"""Longest time that one thread keeps the interpreter while another waits for it."""

POLL_S = 0.1
"""How often a signal or the end of the time is looked for."""


@click.command(
    epilog="""\b
Examples:
  auricle run demo --listen
  auricle run live --input mic
  auricle run live --input http://radio.example/stream.mp3 --duration 60
  auricle run stations.yaml                # many streams; auricle graph new radio stations.yaml
  auricle run live --input zmq:tcp://127.0.0.1:5690 --set backbone.hop_size=16"""
)
@click.argument("graph")
@click.option(
    "--input",
    "source",
    metavar="WHAT",
    help="Listen to this instead: a file, a URL, mic, mic:NAME, zmq:ADDRESS, or raw PCM on "
    "standard input as -:RATE,CHANNELS,FORMAT; - alone is -:44100,2,s16le.",
)
@click.option(
    "--set",
    "settings",
    metavar="NODE.PARAM=VALUE",
    multiple=True,
    help="Change a parameter of a node; the value is read as YAML.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after S seconds.",
)
@click.option("--listen", is_flag=True, help="Show what is published, as a subscriber receives it.")
def run(
    graph: str, source: str | None, settings: tuple[str, ...], duration: float | None, listen: bool
) -> None:
    """Run GRAPH, a file or one that comes with Auricle, until its inputs end.

    It ends before when --duration is over, or when it is interrupted.

    Predictions, events and the like go to the addresses of the graph file; docs/wire.md says how to
    read them, `auricle listen` shows them.
    """
    from auricle.errors import AuricleError
    from auricle.service.service import Service, warnings_of
    from auricle.service.template import load_graph

    path = find_graph(graph)
    file = load_graph(path, parse_settings(settings), source)
    if listen and file.wire.publish is None:
        raise click.UsageError(f"--listen shows what is published, and {graph} has no wire.publish")
    # A worker that comes back from inference must not wait 5 ms, Python's default, for another's
    # Python.
    sys.setswitchinterval(SWITCH_S)
    many = file.streams is not None
    service = Service(file, path.parent, ended=_tell if many else lambda run: None)
    stop = _interrupted()
    with service:
        addresses = ", ".join(
            f"{name} {address}" for name, address in service.server.addresses.items()
        )
        if not listen:  # who wants to see everything must not wait
            _settle(service, stop, many)
        runs = service.runs
        if not stop.is_set() and (many or runs[0].error is None):
            what = f"{len(runs)} streams" if many else f"stream {runs[0].graph.name}"
            click.echo(f"{what}; {addresses or 'no wire'}", err=True)
        if listen:
            _listen(service, stop, duration, many)
        else:
            _wait(service, stop, duration)
        runs = service.runs
    if many:
        failed = [run for run in runs if run.error is not None]
        if failed and not stop.is_set():
            raise AuricleError(f"{len(failed)} of {len(runs)} streams failed")
        return
    for warning in warnings_of(runs[0]):
        click.echo(f"auricle: {warning}", err=True)
    if runs[0].error is not None:
        raise runs[0].error


def _interrupted() -> threading.Event:
    """What SIGINT and SIGTERM set. Another one a while later ends a process that may compile for
    minutes.
    """
    interrupted = threading.Event()
    first_s = 0.0

    def interrupt(number: int, frame: object) -> None:
        nonlocal first_s
        now = time.monotonic()
        if not interrupted.is_set():
            first_s = now
            interrupted.set()
        elif (
            now - first_s >= PATIENCE_S
        ):  # sooner, it is the same one, passed on by who started this
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return interrupted


def _tell(run: Run) -> None:
    """Say at once what is to be said of one of many streams that is over."""
    from auricle.service.service import warnings_of

    for text in [*warnings_of(run), *([str(run.error)] if run.error else [])]:
        click.echo(f"auricle: {run.graph.name}: {text}", err=True)


def _settle(service: Service, stop: threading.Event, many: bool) -> None:
    """Wait until all streams are open, however long that takes: a GPU may have to compile.

    Then, of one stream, until something is heard or has failed, a moment at most: an error is the
    only line.
    """
    while service.opening and not stop.is_set():
        service.wait(POLL_S / 10)
    deadline = time.monotonic() + SETTLE_S
    while not (many or stop.is_set() or service.heard or time.monotonic() > deadline):
        if service.wait(POLL_S / 10):
            return


def _listen(service: Service, stop: threading.Event, duration: float | None, many: bool) -> None:
    """Show what the service publishes, through its own socket."""
    from auricle.cli.listening import listen, summary
    from auricle.cli.views import view_for_terminal
    from auricle.wire.client import Subscriber

    view = view_for_terminal()
    with Subscriber(service.server.addresses["publish"]) as subscriber:
        latencies, _ = listen(
            subscriber,
            view,
            until_end=not many,
            duration_s=duration,
            stop=stop,
            over=lambda: service.wait(0),
        )
    for line in summary(view, latencies, subscriber.losses.total):
        click.echo(line)


def _wait(service: Service, stop: threading.Event, duration: float | None) -> None:
    """Wait for the end of the graph, of the time, or of the user's patience."""
    deadline = None if duration is None else time.monotonic() + duration
    while not (stop.is_set() or service.wait(POLL_S)):
        if deadline is not None and time.monotonic() >= deadline:
            return
