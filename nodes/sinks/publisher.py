"""The node that publishes the results of the others."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from auricle.engine.marks import Mark, Remark, Skip
from auricle.engine.port import InputPort
from auricle.engine.provenance import Provenance
from auricle.engine.reader import Reader
from auricle.engine.sink import Sink
from auricle.errors import AuricleError, ConfigError
from auricle.nodes.predictions import Events, Prediction
from auricle.wire import messages

log = logging.getLogger(__name__)


class Publisher(Sink):
    """Publishes predictions, events, arrays, gaps and skips with their place, then the end.

    `auricle.wire.messages` defines the messages.

    Raises, from `start`:
        ConfigError: The context has no outlet: the graph is not run by a service.
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
        # End of the last mark published, by kind and reason.
        self._published: dict[tuple[type[Mark], str], tuple[int, int]] = {}

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

    def marked(self, port: InputPort, reader: Reader, mark: Mark) -> None:
        """Publish a gap or a skip, unless it was published for another stream already."""
        if isinstance(mark, Remark):  # the flags of predictions say it
            return
        # Every stream brings its marks in order: one that is not after the last was published.
        key = (type(mark), mark.reason)
        if mark.source <= self._published.get(key, (-1, -1)):
            return
        self._published[key] = mark.source
        first, last = mark.source
        clock = reader.stream.clock
        rate, origin = clock.sample_rate, clock.first_sample
        place: dict[str, Any] = {
            "stream": self.context.stream,
            "span": (first, last),
            "sample_rate": rate,
            "start": (first - origin) / rate,
            "end": (last - origin) / rate,
            "utc": clock.utc_ns(last) / 1e9,
            "reason": mark.reason,
            "seconds": (last - first) / rate,
        }
        if isinstance(mark, Skip):
            count = mark.stop - mark.start
            self.counts[f"skipped:{mark.reason}"] += count
            log.debug("%s: %d segments skipped: %s", self.context.stream, count, mark.reason)
            self._send(messages.Skip(**place, count=count))
        else:
            seconds = place["seconds"]
            log.debug("%s: %.3f s lost: %s", self.context.stream, seconds, mark.reason)
            self._send(messages.Gap(**place))

    def ended(self) -> None:
        self._end("finished")

    def fail(self, error: AuricleError) -> None:
        if self.context.outlet is not None:
            self._open = False
            self._send(
                messages.Error(stream=self.context.stream, error=str(error), node=error.node)
            )

    def stop(self) -> None:
        if self._open:
            self._end("stopped")

    def _end(self, reason: str) -> None:
        self._open = False
        self._send(messages.End(stream=self.context.stream, reason=reason, seconds=self._seconds()))

    def _publish_predictions(self, reader: Reader, count: int) -> None:
        for row, prediction in enumerate(reader.view(count)):
            if not prediction.scores:
                continue
            provenance = Provenance.of(reader, reader.position + row)
            place = self._place(provenance)
            for scores in prediction.scores:
                message = messages.Prediction(
                    **place,
                    head=scores.head,
                    model=scores.model,
                    model_version=scores.version,
                    activations=scores.ranked(),
                )
                self._send(message, provenance.done_ns)

    def _publish_events(self, reader: Reader, count: int) -> None:
        clock = reader.stream.clock
        for row, events in enumerate(reader.view(count)):
            if not events.events:
                continue
            provenance = Provenance.of(reader, reader.position + row)
            place = self._place(provenance)
            for event in events.events:
                sample = clock.sample_at(event.at)
                message = messages.Event(
                    **place,
                    head=event.head,
                    model=event.model,
                    model_version=event.version,
                    label=event.label,
                    change=event.change,
                    at=float(clock.seconds_at(event.at)),
                    at_sample=sample,
                    at_utc=clock.utc_ns(sample) / 1e9,
                    activation=event.activation,
                    reason=event.reason,
                )
                self._send(message, provenance.done_ns)

    def _publish_array(self, reader: Reader, count: int) -> None:
        stream = reader.stream
        provenance = Provenance.of(reader, reader.position, count)
        message = messages.Array(
            **self._place(provenance),
            name=stream.name.partition(".")[2],
            count=count,
            rate=float(stream.token_type.rate),
            axes=("token", *(axis.name for axis in stream.token_type.axes)),
            values=np.asarray(reader.view(count)),
        )
        self._send(message, provenance.done_ns)

    def _place(self, provenance: Provenance) -> dict[str, Any]:
        """The fields that all messages about tokens have, by name."""
        return {
            "stream": self.context.stream,
            "span": provenance.span,
            "sample_rate": provenance.sample_rate,
            "start": provenance.start,
            "end": provenance.end,
            "utc": provenance.utc,
            "index": provenance.index,
            "rung": provenance.rung,
            "patchout": provenance.level,
            "flags": provenance.flags,
            "latency": provenance.latency,
        }

    def _seconds(self) -> float:
        """Seconds of the source that were heard."""
        readers = [reader for port in self.inputs.values() for reader in port.readers]
        source = readers[0].stream.source
        return float((source.written - source.start) / source.token_type.rate)

    def _send(self, message: messages.Message, since_ns: int | None = None) -> None:
        assert self.context.outlet is not None
        self.context.outlet.send(message, since_ns)
