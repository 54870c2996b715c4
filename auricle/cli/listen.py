"""`auricle listen`: showing live what an engine publishes."""

from __future__ import annotations

import signal
import threading

import click

from auricle.cli.options import key_options
from auricle.cli.output import say


@click.command(
    epilog="""\b
Examples:
  auricle listen tcp://127.0.0.1:5680
  auricle listen tcp://127.0.0.1:5680 --topic demo/event
  auricle listen tcp://127.0.0.1:5680 --topic demo/prediction --json | jq .activations
  auricle listen tcp://127.0.0.1:5681        # arrays: mel frames, embeddings"""
)
@click.argument("address")
@click.option(
    "--topic",
    "topics",
    metavar="PREFIX",
    multiple=True,
    help="Show only topics with this prefix. May be repeated.  [default: all topics]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per message.")
@click.option(
    "--until-end",
    is_flag=True,
    help="Stop when a stream ends; exit with 1 if it has failed.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after S seconds.  [default: never]",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help="Stop after N messages, heartbeats not counted.  [default: never]",
)
@key_options
def listen(
    address: str,
    topics: tuple[str, ...],
    as_json: bool,
    until_end: bool,
    duration: float | None,
    count: int | None,
    key: str | None,
    server_key: str | None,
) -> None:
    """Show live what an engine publishes.

    ADDRESS is that of its publishing socket, or of its socket for arrays. On a terminal, the
    strongest labels are drawn as bars; in a pipe, each message is a line. Lost messages are
    reported. At the end, the latencies from the sound to this command are printed by stage, in ms.
    """
    from auricle.cli.listening import listen as show
    from auricle.cli.listening import summary
    from auricle.cli.live_view import view_for_terminal
    from auricle.cli.options import parse_keys
    from auricle.cli.views import JsonView, View
    from auricle.errors import AuricleError, WireError
    from auricle.wire.client import Subscriber
    from auricle.wire.messages import Error

    def report_waiting(trouble: str | None) -> None:
        say(f"waiting for {address}" + (f": {trouble}" if trouble else ""), err=True)

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Subscriber(address, topics or ("",), keys=parse_keys(key, server_key)) as subscriber:
        view: View = JsonView() if as_json else view_for_terminal(stop)
        latencies, last = show(
            subscriber,
            view,
            until_end=until_end,
            duration_s=duration,
            count=count,
            stop=stop,
            waiting=report_waiting,
        )
        for line in summary(view, latencies, subscriber.losses.total):
            say(line, err=as_json)
        if last is None and not stop.is_set():
            why = subscriber.trouble or "is an engine running there?"
            raise WireError(f"{address}: no message received; {why}")
    if until_end and isinstance(last, Error):
        raise AuricleError(f"{last.stream}: {last.error}")
