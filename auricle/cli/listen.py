"""`auricle listen`: what an engine publishes."""

from __future__ import annotations

import signal
import threading

import click

from auricle.cli.options import key_options


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
    """Show what the engine at ADDRESS publishes, live.

    On a terminal the strongest labels are drawn as bars; in a pipe each message is a line. Lost
    messages are reported. At the end, the latency from the sound to this listener, by stage.
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
        click.echo(f"waiting for {address}" + (f": {trouble}" if trouble else ""), err=True)

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
            waiting=report_waiting,
        )
        for line in summary(view, latencies, subscriber.losses.total):
            click.echo(line, err=as_json)
        if last is None and not stop.is_set():
            why = subscriber.trouble or "is an engine running there?"
            raise WireError(f"{address}: nothing was heard; {why}")
    if until_end and isinstance(last, Error):
        raise AuricleError(f"{last.stream}: {last.error}")
