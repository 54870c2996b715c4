"""The node that says on the wire what the others found."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from auricle.engine.marks import Mark, Skip
from auricle.engine.node import Node, Status
from auricle.engine.port import InputPort
from auricle.engine.reader import Reader
from auricle.engine.stream import Stream
from auricle.errors import AuricleError, ConfigError
from auricle.nodes.predictions import Event, Events, Prediction, Scores
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


class Publisher(Node):
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

    def process(self) -> Status:
        progress, over = False, True
        for port, publish in (
            (self._predictions, self._publish_prediction),
            (self._events, self._publish_events),
            (self._arrays, self._publish_array),
        ):
            for reader in port.readers:
                ended = reader.stream.ended
                progress |= self._read(reader, publish)
                over &= ended and not reader.windows()
        if over:
            self._end("finished")
            return Status.FINISHED
        return Status.CAUGHT_UP if progress else Status.NO_INPUT

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

    def _read(self, reader: Reader, publish: Any) -> bool:
        """Publish what is new in one stream; returns whether there was anything."""
        ready = reader.windows()
        # Told as soon as they are known, which may be long before the first segment that touches
        # them.
        for mark in reader.new_marks():
            self._tell(mark, reader.stream)
        left = ready
        while left:
            reader.gap()
            count, skip = reader.stretch(left)
            if skip is None:
                publish(reader, count)
            reader.release(count)
            left -= count
        return ready > 0

    def _publish_prediction(self, reader: Reader, count: int) -> None:
        for row, prediction in enumerate(reader.view(count)):
            token = reader.position + row
            if prediction.scores:
                place = self._place(reader, token)
                latency, done_ns = latency_by_stage(reader.stream, token)
                for scores in prediction.scores:
                    if scores.head in KINDS:
                        what = f"head {scores.head!r} has the name of another kind of message"
                        raise ConfigError(f"{what}; these are: {', '.join(KINDS)}", node=self.name)
                    message = {
                        **place,
                        **_said(scores),
                        "latency": dict(latency),
                        "values": scores.ranked(),
                    }
                    self._send(scores.head, message, done_ns)

    def _publish_events(self, reader: Reader, count: int) -> None:
        for row, events in enumerate(reader.view(count)):
            if events.events:
                latency, done_ns = latency_by_stage(reader.stream, reader.position + row)
                for event in events.events:
                    message = {**self._event(reader.stream, event), "latency": dict(latency)}
                    self._send("events", message, done_ns)

    def _publish_array(self, reader: Reader, count: int) -> None:
        stream = reader.stream
        latency, done_ns = latency_by_stage(stream, reader.position + count - 1)
        header = {
            **self._place(reader, reader.position, count),
            "latency": latency,
            "count": count,
            "rate": float(stream.token_type.rate),
            "axes": ["token", *(axis.name for axis in stream.token_type.axes)],
        }
        kind = stream.name.partition(".")[2]
        outlet = cast(WireOutlet, self.context.outlet)
        outlet.publish_array(
            self.context.stream, kind, header, np.asarray(reader.view(count)), done_ns
        )

    def _place(self, reader: Reader, token: int, count: int = 1) -> dict[str, Any]:
        """Where and when `count` tokens from `token` on were heard."""
        stream = reader.stream
        stop = token + count
        first, last = stream.span(token)[0], stream.span(stop - 1)[1]
        made = [each.committed(index) for each, index in stream.ancestry(stop - 1)]
        level = next((commit.level for commit in made if commit.level), None)
        gaps = (gap.reason for gap in reader.gaps if gap.start < stop and token < gap.stop)
        return {
            "index": token - stream.start,
            "span": [first, last],
            "sample_rate": stream.clock.sample_rate,
            "start": float(stream.seconds(token)[0]),
            "end": float(stream.seconds(stop - 1)[1]),
            "utc": stream.clock.utc_ns(last) / 1e9,
            "rung": max(commit.rung for commit in made),
            **({"patchout": level} if level else {}),
            "flags": [f"gap:{reason}" for reason in dict.fromkeys(gaps)],
        }

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

    def _tell(self, mark: Mark, stream: Stream) -> None:
        """Publish a gap or a skip, unless another stream has brought it already."""
        # Every stream brings the marks in order, so what lies before the last one told has been
        # told.
        key = (type(mark), mark.reason)
        if mark.source <= self._told.get(key, (-1, -1)):
            return
        self._told[key] = mark.source
        first, last = mark.source
        rate = stream.clock.sample_rate
        message = {
            "reason": mark.reason,
            "span": [first, last],
            "sample_rate": rate,
            "seconds": (last - first) / rate,
            "utc": stream.clock.utc_ns(last) / 1e9,
        }
        if isinstance(mark, Skip):
            self.counts[f"skipped:{mark.reason}"] += mark.stop - mark.start
            message["count"] = mark.stop - mark.start
        self._send("skip" if isinstance(mark, Skip) else "gap", message)

    def _seconds(self) -> float:
        """Seconds of the source that were heard."""
        streams = [reader.stream for port in self.inputs.values() for reader in port.readers]
        source = list(streams[0].ancestry(streams[0].start))[-1][0]
        return float((source.written - source.start) / source.token_type.rate)

    def _send(self, kind: str, message: dict[str, Any], since_ns: int | None = None) -> None:
        outlet = cast(WireOutlet, self.context.outlet)
        outlet.publish(self.context.stream, kind, message, since_ns)


def latency_by_stage(stream: Stream, token: int) -> tuple[dict[str, float], int]:
    """Seconds that `token` took from its last sample to its commit, by stage, and when that was.

    `capture` lasts until the sample was in the engine, `queue` is all waiting from there on, and
    each stage counts its own work. The stages add up to the whole.

    Returns:
        The stages, and the monotonic time of the commit in ns.
    """
    path = list(stream.ancestry(token))[::-1]
    source, sample = path[0]
    before_ns = source.committed(sample).done_ns
    captured_ns = stream.clock.monotonic_ns(stream.span(token)[1])
    stages = {"capture": max(0, before_ns - captured_ns) / 1e9, "queue": 0.0}
    for each, index in path[1:]:
        began_ns, done_ns, *_ = each.committed(index)
        # A node may have begun before the last token came: it works on what is there.
        began_ns = max(began_ns, before_ns)
        stages["queue"] += (began_ns - before_ns) / 1e9
        stages[each.stage] = stages.get(each.stage, 0.0) + max(0, done_ns - began_ns) / 1e9
        before_ns = max(done_ns, before_ns)
    return stages, before_ns


def _said(scores: Scores) -> dict[str, Any]:
    return {"model": scores.model, "model_version": scores.version}
