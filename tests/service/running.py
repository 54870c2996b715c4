"""Services at work: graphs for many streams, and what they publish."""

from __future__ import annotations

import functools
import wave
from pathlib import Path
from typing import Any

import numpy as np

from auricle.service.overrides import load_graph
from auricle.service.service import Service
from auricle.tagging import FileTagger
from auricle.wire import client
from auricle.wire.client import Subscriber
from auricle.wire.messages import End, Error, Heartbeat, Message, Prediction

request = functools.partial(client.request, timeout_s=500)
"""A request with patience: its command may wait for the compiler, on a machine that is busy."""

GRAPH = """
stream: template
nodes:
  - {id: input, class: FileInput, params: {path: a.wav}}
  - {id: mel, class: MelSpectrogram}
  - {id: backbone, class: Backbone, params: {model: MODEL}}
  - {id: publish, class: Publisher}
edges:
  - input -> mel -> backbone.predictions -> publish.predictions
wire: {publish: "tcp://127.0.0.1:*", control: "tcp://127.0.0.1:*"}
"""

REALTIME = {"input.realtime": True}


def write_sound(path: Path, seconds: float, seed: int, rate: int = 16000) -> None:
    samples = np.random.default_rng(seed).integers(-9999, 9999, round(seconds * rate)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def write_graph(folder: Path, streams: str, name: str = "many.yaml") -> Path:
    """A graph file for these streams, beside the sounds."""
    path = folder / name
    path.write_text(GRAPH.replace("MODEL", str(folder / "tiny")) + f"streams: {streams}\n")
    return path


def make_service(path: Path, **options: Any) -> Service:
    return Service(load_graph(path), path.parent, **options)


def listen_to_all(
    service: Service, topics: tuple[str, ...] = ("",), streams: int = 0
) -> list[Message]:
    """What a service publishes until so many streams have ended.

    It is started once it is heard, so that nothing is missed.
    """
    ended, messages = 0, []
    service.server.start()
    with Subscriber(service.server.addresses["publish"], topics) as subscriber:
        assert isinstance(subscriber.receive(10), Heartbeat)
        service.start_streams()
        while ended < streams:
            message = subscriber.receive(30)
            assert message is not None
            messages.append(message)
            ended += isinstance(message, End | Error)
        assert subscriber.losses.total == 0
    return messages


def activations_of(messages: list[Message], stream: str) -> list[dict[str, float]]:
    """What a stream's own model said, segment by segment."""
    return [
        dict(message.activations)
        for message in messages
        if isinstance(message, Prediction) and message.topic == f"{stream}/prediction/tags"
    ]


def tagged(folder: Path, name: str) -> list[dict[str, float]]:
    """What the model says of a sound offline, segment by segment."""
    return [segment.activations for segment in FileTagger(folder / name, str(folder / "tiny"))]


def names(service: Service) -> list[str]:
    return [stream.name for stream in service.streams.all]
