"""`auricle listen`: what an engine publishes."""

from __future__ import annotations

import signal
import sys
import threading

import click

from auricle.errors import FAILED


@click.command(
    epilog="""\b
Examples:
  auricle listen tcp://127.0.0.1:5680
  auricle listen tcp://127.0.0.1:5680 --topic demo/tags --json | jq .values
  auricle listen tcp://127.0.0.1:5681        # arrays: mel frames, embeddings"""
)
@click.argument("address")
@click.option(
    "--topic", "topics", multiple=True, help="Only topics that begin with this; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message.")
@click.option("--until-end", is_flag=True, help="Stop at the end of a stream; fail at its error.")
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Stop after S seconds.",
)
@click.option("--count", type=click.IntRange(1), help="Stop after so many messages.")
@click.option(
    "--key", type=click.Path(), help="Own .key_secret file, for an engine beyond this machine."
)
@click.option("--server-key", type=click.Path(), help="The server's .key file, likewise.")
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
    """Show what the engine at ADDRESS publishes, live.

    On a terminal the strongest labels are drawn as bars; in a pipe each message is a line. Lost
    messages are reported. At the end, the latency from the sound to this listener, by stage.
    """
    from auricle.cli.listening import JsonView, View, view_for_terminal
    from auricle.cli.listening import listen as show
    from auricle.cli.options import parse_keys
    from auricle.wire.client import Subscriber

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Subscriber(address, topics or ("",), keys=parse_keys(key, server_key)) as subscriber:
        view: View = JsonView() if as_json else view_for_terminal()
        latencies, last = show(
            subscriber,
            view,
            until_end=until_end,
            duration_s=duration,
            count=count,
            stop=stop,
            waiting=lambda: click.echo(f"waiting for {address}", err=True),
        )
        click.echo(
            f"{latencies.predictions} predictions, {subscriber.losses.total} messages lost",
            err=as_json,
        )
        if table := str(latencies):
            click.echo(table, err=as_json)
        if last is None and not stop.is_set():
            click.echo(
                f"auricle: {address}: nothing was heard; is an engine running there?", err=True
            )
            sys.exit(FAILED)
        if until_end and last is not None and last.kind == "error":
            click.echo(f"auricle: {last.stream}: {last.content.get('error')}", err=True)
            sys.exit(FAILED)
