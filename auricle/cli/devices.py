"""`auricle devices`: the sound devices that can be listened to."""

from __future__ import annotations

import json
from operator import attrgetter

import click

from auricle.cli.output import say

FIELDS = (
    "name",
    "host_api",
    "channels",
    "sample_rate",
    "default",
    "description",
    "loopback",
)
"""Fields of a device in JSON; the sample rate is in Hz."""


@click.command(epilog="Example: auricle run live --input 'mic:USB Audio'")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def devices(as_json: bool) -> None:
    """List the sound devices to listen to.

    Lists names, channels and sample rates in Hz: first the devices of the system, then the sources
    of PulseAudio or PipeWire, `pulse:NAME`, where `loopback` marks what the computer plays. The
    names are those that graph files and `auricle run --input mic:NAME` take. An asterisk marks the
    default.
    """
    from auricle.nodes.inputs.capture_process import devices as find

    found = find()
    if as_json:
        values = [dict(zip(FIELDS, attrgetter(*FIELDS)(each), strict=True)) for each in found]
        say(json.dumps(values))
        return
    for device in found:
        star = "*" if device.default else " "
        kind = ", ".join(filter(None, (device.description, "loopback" * device.loopback)))
        line = f"{star} {device!s:<50} {device.channels:>3} channels {device.sample_rate:>7} Hz"
        say(f"{line}  {kind}".rstrip())
    if not found:
        say("no sound device to listen to", err=True)
