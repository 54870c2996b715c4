"""The node that says on the wire what the others found."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from auricle.engine.marks import Mark, Skip
from auricle.engine.port import InputPort
from auricle.engine.provenance import Provenance
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink
from auricle.engine.stream import Stream
from auricle.errors import AuricleError, ConfigError
from auricle.nodes.predictions import Event, Events, Prediction
from auricle.wire.codec import KINDS


class WireOutlet(Protocol):
    """Where messages go in the form of the wire; `auricle.wire.server.Server` is one."""

    def publish(
        self, stream: str, kind: str, message: dict[str, Any], since_ns: int | None = None
    ) -> None:
        """Send a message."""

    def publish_array(
        self,
        stream: str,
        kind: str,
        header: dict[str, Any],
        values: NDArray[Any],
        since_ns: int | None = None,
    ) -> None:
        """Send an array."""


class Publisher(Sink):
    """Predictions, events and arrays on the wire, with where and when they were heard; gaps, skips,
    the end.

    `docs/wire.md` has the form of the messages.
    """

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self._predictions = self.add_input(
            InputPort("predictions", "Scores of any heads.", Prediction, many=True, optional=True)
        )
        self._events = self.add_input(
            InputPort("events", "What came on and went off.", Events, many=True, optional=True)
        )
        self._arrays = self.add_input(
            InputPort(
                "arrays", "Mel frames, embeddings.", None, axes=None, many=True, optional=True
            )
        )
        self._open = False
        self._told: dict[tuple[type[Mark], str], tuple[int, int]] = {}

    def start(self) -> None:
        if self.context.outlet is None:
            raise ConfigError(
                "no outlet: a graph that publishes is run by a service", node=self.name
            )
        self._open = True

    def take(self, port: InputPort, reader: Reader, count: int) -> None:
        if port is self._predictions:
            self._publish_predictions(reader, count)
        elif port is self._events:
            self._publish_events(reader, count)
        else:
            self._publish_array(reader, count)

    def ended(self) -> None:
        self._end("finished")

    def fail(self, error: AuricleError) -> None:
        if self.context.outlet is not None:
            self._open = False
            self._send("error", {"error": str(error), "node": error.node})

    def stop(self) -> None:
        if self._open:
            self._end("stopped")

    def _end(self, reason: str) -> None:
        self._open = False
        self._send("end", {"reason": reason, "seconds": self._seconds()})

    def _publish_predictions(self, reader: Reader, count: int) -> None:
        for row, prediction in enumerate(reader.view(count)):
            if not prediction.scores:
                continue
            provenance = Provenance.of(reader, reader.position + row)
            place = _place(provenance)
            for scores in prediction.scores:
                if scores.head in KINDS:
                    what = f"head {scores.head!r} has the name of another kind of message"
                    raise ConfigError(f"{what}; these are: {', '.join(KINDS)}", node=self.name)
                message = {
                    **place,
                    "model": scores.model,
                    "model_version": scores.version,
                    "latency": dict(provenance.latency),
                    "values": scores.ranked(),
                }
                self._send(scores.head, message, provenance.done_ns)

    def _publish_events(self, reader: Reader, count: int) -> None:
        for row, events in enumerate(reader.view(count)):
            if not events.events:
                continue
            provenance = Provenance.of(reader, reader.position + row)
            for event in events.events:
                message = self._event(reader.stream, event)
                message["latency"] = dict(provenance.latency)
                self._send("events", message, provenance.done_ns)

    def _publish_array(self, reader: Reader, count: int) -> None:
        token_type = reader.stream.token_type
        provenance = Provenance.of(reader, reader.position, count)
        header = {
            **_place(provenance),
            "latency": dict(provenance.latency),
            "count": count,
            "rate": float(token_type.rate),
            "axes": ["token", *(axis.name for axis in token_type.axes)],
        }
        kind = reader.stream.name.partition(".")[2]
        outlet = cast(WireOutlet, self.context.outlet)
        outlet.publish_array(
            self.context.stream, kind, header, np.asarray(reader.view(count)), provenance.done_ns
        )

    def _event(self, stream: Stream, event: Event) -> dict[str, Any]:
        sample = stream.clock.sample_at(event.at)
        return {
            "head": event.head,
            "model": event.model,
            "model_version": event.version,
            "label": event.label,
            "event": event.change,
            "at": float(event.at),
            "sample": sample,
            "sample_rate": stream.clock.sample_rate,
            "utc": stream.clock.utc_ns(sample) / 1e9,
            "activation": event.activation,
            "reason": event.reason,
        }

    def marked(self, port: InputPort, reader: Reader, mark: Mark) -> None:
        """Publish a gap or a skip, unless another stream has brought it already."""
        # Every stream brings the marks in order, so what lies before the last one told has been
        # told.
        key = (type(mark), mark.reason)
        if mark.source <= self._told.get(key, (-1, -1)):
            return
        self._told[key] = mark.source
        first, last = mark.source
        clock = reader.stream.clock
        rate = clock.sample_rate
        message = {
            "reason": mark.reason,
            "span": [first, last],
            "sample_rate": rate,
            "seconds": (last - first) / rate,
            "utc": clock.utc_ns(last) / 1e9,
        }
        if isinstance(mark, Skip):
            self.counts[f"skipped:{mark.reason}"] += mark.stop - mark.start
            message["count"] = mark.stop - mark.start
        self._send("skip" if isinstance(mark, Skip) else "gap", message)

    def _seconds(self) -> float:
        """Seconds of the source that were heard."""
        readers = [reader for port in self.inputs.values() for reader in port.readers]
        source = readers[0].stream.source
        return float((source.written - source.start) / source.token_type.rate)

    def _send(self, kind: str, message: dict[str, Any], since_ns: int | None = None) -> None:
        outlet = cast(WireOutlet, self.context.outlet)
        outlet.publish(self.context.stream, kind, message, since_ns)


def _place(provenance: Provenance) -> dict[str, Any]:
    """Where and when tokens were heard, in the words of the wire."""
    return {
        "index": provenance.index,
        "span": list(provenance.span),
        "sample_rate": provenance.sample_rate,
        "start": provenance.start,
        "end": provenance.end,
        "utc": provenance.utc,
        "rung": provenance.rung,
        **({"patchout": provenance.level} if provenance.level else {}),
        "flags": list(provenance.flags),
    }
