"""`auricle devices`: what can be listened to."""

from __future__ import annotations

import json

import click


@click.command(epilog="Example: auricle run live --input 'mic:USB Audio'")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def devices(as_json: bool) -> None:
    """List microphones and line-ins by the names that graphs and --input take.

    * marks the default.
    """
    from auricle.nodes.inputs.microphone import devices as find

    found = find()
    if as_json:
        fields = ("name", "host_api", "channels", "sample_rate", "default")
        click.echo(
            json.dumps([{field: getattr(device, field) for field in fields} for device in found])
        )
        return
    for device in found:
        star = "*" if device.default else " "
        click.echo(
            f"{star} {device!s:<50} {device.channels:>3} channels {device.sample_rate:>7} Hz"
        )
    if not found:
        click.echo("no sound device to listen to", err=True)
