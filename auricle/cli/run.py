"""`auricle run`: running a graph."""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from auricle.cli.graph_names import find_graph
from auricle.cli.logs import StateLog, log_to_stderr
from auricle.cli.output import say
from auricle.cli.signals import call_on_hangup, catch_interrupts
from auricle.errors import AuricleError, InputError
from auricle.settings import parse_settings

if TYPE_CHECKING:
    from auricle.service.graph_file import GraphFile
    from auricle.service.service import Service

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""Longest wait for the first sound before the stream is announced, in seconds."""

SWITCH_S = 0.0005
"""Longest time for which a thread keeps the interpreter while another waits, in seconds."""

POLL_S = 0.1
"""Seconds between two checks for a signal or the end of `--duration`."""


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
    metavar="SOURCE",
    help="Listen to this instead of the graph's source: a file, a URL, mic, mic:NAME, zmq:ADDRESS, "
    "or raw PCM on standard input as -:RATE,CHANNELS,FORMAT with RATE in Hz; - alone means "
    "-:44100,2,s16le.",
)
@click.option(
    "--set",
    "settings",
    metavar="NODE.PARAM=VALUE",
    multiple=True,
    help="Change a parameter of a node; VALUE is YAML. May be repeated.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after S seconds.  [default: when the inputs end]",
)
@click.option("--listen", is_flag=True, help="Show what is published, as `auricle listen` does.")
def run(
    graph: str, source: str | None, settings: tuple[str, ...], duration: float | None, listen: bool
) -> None:
    """Run a graph until its inputs end or it is interrupted.

    A URL that cannot be reached is waited for, with a line whenever it is tried, as is one whose
    connection is lost. If nothing was heard of it when --duration is over, that is an error.

    GRAPH is a file, or the name of a graph that `auricle graph list` lists. Predictions and events
    are published at the addresses in the graph file: `auricle listen` shows them, and docs/wire.md
    describes how programs read them.
    """
    path = find_graph(graph)
    _say_on_terminal(f"loading {graph}")  # the first time, Python compiles for some seconds
    from auricle.service.descriptors import raise_limit
    from auricle.service.overrides import load_graph
    from auricle.service.service import Service
    from auricle.service.stations import reload_and_log

    file = load_graph(path, parse_settings(settings), source)
    if listen and file.wire.publish is None:
        raise click.UsageError(f"{path}: --listen needs an address in wire.publish")
    log_to_stderr()
    # A worker that returns from inference must not wait for another thread's Python code for 5 ms,
    # Python's default.
    sys.setswitchinterval(SWITCH_S)
    raise_limit()
    many = file.streams is not None
    service = Service(file, path.parent, changed=StateLog(endings=many))
    stop = catch_interrupts()
    if many:
        call_on_hangup(partial(reload_and_log, service.stations))
    _say_on_terminal(f"opening {_what_is_opened(file)}")
    with service:
        if not listen:  # with --listen, messages are shown from the start
            settle(service, stop, many)
        if not stop.is_set():
            _announce(service, many)
        if listen:
            _show(service, stop, duration, many)
        else:
            _wait(service, stop, duration)
    if many:
        _fail_if_many_failed(service, stop)
    else:
        _fail_if_failed(service, stop)


def _say_on_terminal(line: str) -> None:
    """Say what takes a while, to whoever looks at a screen that is otherwise empty."""
    if sys.stderr.isatty() and not click.get_current_context().find_root().params.get("log_json"):
        say(f"{line} ...", err=True)


def _what_is_opened(file: GraphFile) -> str:
    """The models, heads and sources of a graph, in words."""
    params = [spec.params for spec in file.nodes]
    parts = [f"model {each['model']}" for each in params if "model" in each]
    parts += [f"head {head}" for each in params for head in each.get("heads", ())]
    sources = [f"{each[name]}" for each in params for name in ("path", "url") if name in each]
    return ", ".join([*parts, *(sources if file.streams is None else ["the streams"])])


def settle(service: Service, stop: threading.Event, many: bool) -> None:
    """Wait until all streams are open, which may take minutes if a GPU has to compile.

    Then waits for the first sound of a single stream, for at most `SETTLE_S`, so that a source that
    fails immediately prints its error and nothing else.

    Args:
        service: Service that has been started.
        stop: Event that ends the wait.
        many: Whether the graph has a list of streams.
    """
    while service.opening and not stop.is_set():
        service.wait(POLL_S / 10)
    deadline = time.monotonic() + SETTLE_S
    while not (many or stop.is_set() or service.heard or time.monotonic() > deadline):
        if service.wait(POLL_S / 10):
            return


def _announce(service: Service, many: bool) -> None:
    """Print what is running and its addresses, unless the only stream has failed already."""
    streams = service.streams.all
    if not many and streams[0].state == "failed":
        return
    where = ", ".join(f"{name} {address}" for name, address in service.server.addresses.items())
    what = f"{len(streams)} streams" if many else f"stream {streams[0].name}"
    _say(f"{what}; {where or 'no wire'}")


def _say(line: str) -> None:
    """Print a line on standard error, or log it if the log is read by a program."""
    if click.get_current_context().find_root().params.get("log_json"):
        log.info("%s", line)
    else:
        say(line, err=True)


def _show(service: Service, stop: threading.Event, duration: float | None, many: bool) -> None:
    """Show what the service publishes, as a subscriber to its own socket."""
    from auricle.cli.listening import listen, summary
    from auricle.cli.live_view import view_for_terminal
    from auricle.wire.client import Subscriber

    view = view_for_terminal(stop)
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
        say(line)


def _wait(service: Service, stop: threading.Event, duration: float | None) -> None:
    """Wait until all streams have ended, `duration` seconds are over, or `stop` is set."""
    deadline = None if duration is None else time.monotonic() + duration
    while not (stop.is_set() or service.wait(POLL_S)):
        if deadline is not None and time.monotonic() >= deadline:
            return


def _fail_if_many_failed(service: Service, stop: threading.Event) -> None:
    streams = service.streams.all
    failed = sum(stream.state == "failed" for stream in streams)
    if failed and not stop.is_set():
        raise AuricleError(f"{failed} of {len(streams)} streams failed")


def _fail_if_failed(service: Service, stop: threading.Event) -> None:
    """Print the warnings of the only stream, and raise its error.

    A source that was waited for until the time was up, in vain, is an error; when the user has
    interrupted, it is not.
    """
    from auricle.service.streams import list_warnings

    for stream in service.streams.all:
        for warning in list_warnings(stream.run):
            _say(f"auricle: {warning}")
        if stream.error is not None:
            raise stream.error
        if stream.run.outage is not None and not service.heard and not stop.is_set():
            raise InputError(f"nothing to hear: {stream.run.outage.reason}")
