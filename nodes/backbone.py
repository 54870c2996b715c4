"""The node that runs a representation model on segments of mel frames."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.engine.command import Change, Command
from auricle.engine.deferring import Deferring, Job
from auricle.engine.marks import Remark
from auricle.engine.port import InputPort
from auricle.errors import AuricleError, ConfigError, ModelError
from auricle.models import inference
from auricle.models.registry import find, info
from auricle.models.segments import SegmentFormat
from auricle.nodes.backbone_params import LONGEST_DEADLINE_S, BackboneParams
from auricle.nodes.gate import Gate
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.model_outputs import ModelOutputs
from auricle.nodes.predictions import FLOAT32, SILENCE

log = logging.getLogger(__name__)

LEAST_DEADLINE_S = 0.5
"""Shortest deadline in seconds, however short the hop: a pause of the machine is not overload."""


class Backbone(Deferring[BackboneParams]):
    """A model from segments of mel frames to embeddings and activations.

    On a CPU each segment is a view of the ring that ONNX Runtime reads in place; what overlapping
    segments share is computed once where the model allows it, as the frames come. On an
    accelerator, or with `batch`, segments go to the owner of the session, which runs those of all
    streams together. See `auricle.models.inference` for both. With a live source that is ahead of
    the machine, segments are left out, never samples: see `auricle.engine.overload`. Segments that
    lie wholly in a gap are skipped too. All of them are counted by reason and marked.

    Threads: the control thread calls commands and their changes, `describe`, `settings` and
    `statistics`; everything else is called on the thread that runs the stream. The control thread
    changes `levels` only, which say how that is safe, and reads the session and the seat once.

    Attributes:
        card: Card of the model.
        segment_size: Frames of a segment.
        deadline_s: Seconds after its last sample within which a segment has to be begun, live.
        levels: Patchout levels; empty for a model without patches.

    Raises:
        ConfigError: The model is not installed, or its card lacks something that is needed here.
    """

    stage = "inference"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        try:
            self.card = info(self.params.model)
            self._segments = SegmentFormat.of(self.card, self.params.hop_size)
            self.levels = inference.Levels(self.card, self.params.patchout, self.params.adaptive)
        except (ConfigError, ModelError) as error:
            raise ConfigError(error.message, node=name) from error
        self.segment_size = self._segments.size
        usual_s = min(max(LEAST_DEADLINE_S, self._segments.hop_s), LONGEST_DEADLINE_S)
        self.deadline_s = self.params.deadline_s or usual_s
        self._outputs = ModelOutputs(self.card, self.params.kind, self.params.top_k)
        self._gate = Gate(self._segments.front_end, self.params.gate_db)
        self._silent: deque[bool] = deque()
        """Of each segment that was handed out and not accepted, whether it is silent."""
        self._request = self._make_request()
        self._add_ports()
        # Written by `start` and `stop` on the stream's thread. The control thread reads each once,
        # and never runs a segment.
        self._inference: inference.Inference | None = None
        self._seat: inference.Seat | None = None
        """Place with the owner of the session, if that runs the segments."""

    def _make_request(self) -> inference.Request:
        params = self.params
        return inference.Request(
            outputs=self._outputs.names,
            hop_size=self._segments.hop_size,
            providers=params.providers,
            threads=params.threads,
            incremental=params.incremental,
            batch=params.batch,
            batch_wait_s=params.batch_wait_s,
        )

    def _add_ports(self) -> None:
        front_end = self._segments.front_end
        mel = self.add_input(
            InputPort(
                "mel",
                f"Segments of {self.segment_size} mel frames.",
                FLOAT32,
                (mel_axis(front_end),),
                front_end.rate,
                frame_size=self.segment_size,
                hop_size=self._segments.hop_size,
                lag_s=self.deadline_s,
            )
        )
        # Room for all segments that may be pending, or a file would not fill its batches.
        burst_s = max(1.0, self._request.most_pending * self._segments.hop_s)
        for port in self._outputs.ports(mel, burst_s):
            self.add_output(port)

    def start(self) -> None:
        self.levels.current = None
        request = replace(self._request, live=self.context.live)
        try:
            folder = find(self.params.model)
            opened = inference.open(folder, request, self.levels, self.context.wake)
        except ConfigError as error:
            error.node = self.name
            raise
        except ModelError as error:
            # A new error, since an owner raises the same one again for other streams.
            raise ModelError(error.message, node=self.name) from error
        if isinstance(opened, inference.Seat):
            self._seat, self.places = opened, opened.places
        else:
            self._inference = opened
        self._offer_levels()

    def stop(self) -> None:
        super().stop()
        self._silent.clear()
        self._inference = None
        if self._seat is not None:
            self._seat.leave()
            self._seat = None

    # -- What it can be asked -----------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = {
            "model": self.card.name,
            "model_version": self.card.version,
            "predictions": self._outputs.describe(),
            "embedding_size": self.card.embedding_size,
            **self._segments.describe(),
        }
        if patchout := self.levels.describe():
            described["patchout"] = patchout
        return described

    def commands(self) -> Mapping[str, Command]:
        return {"patchout": self.change_patchout} if self.card.patch_grid else {}

    def change_patchout(
        self, patchout: str | Mapping[str, Any] | None = None, adaptive: bool | None = None
    ) -> Change:
        """Change the patches that the model looks at, from the next segment on.

        Args:
            patchout: Level of the card, or `keep_every` and `drop_rows`; None keeps the present
                one.
            adaptive: Whether to go to cheaper levels while there is not enough time; None keeps
                the present choice.

        Returns:
            The change, which returns the names of the level in use while there is enough time, and
            of the cheaper ones that may be used.

        Raises:
            ConfigError: A level is unknown or not ready, or a value has the wrong type.
        """
        seat = self._seat  # once: the thread that runs the stream may stop it
        try:
            levels = self.levels.validate(patchout, adaptive, seat.owner.is_warm if seat else None)
        except ConfigError as error:
            error.node = self.name
            raise

        def change() -> list[str]:
            self.levels.allow(levels)
            self._offer_levels()
            return [str(level) for level in levels]

        return change

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **self.levels.settings()}

    def statistics(self) -> dict[str, Any]:
        running, seat = self._inference, self._seat
        statistics: dict[str, Any] = {
            "model": self.card.name,
            "version": self.card.version,
            "incremental": running is not None and running.incremental,
        }
        if self.levels.current is not None:
            statistics["patchout"] = str(self.levels.current)
        if seat is not None:
            statistics |= seat.owner.statistics()
        return statistics

    # -- Which segments to serve, and how ----------------------------------------------------

    def _offer_levels(self) -> None:
        if (place := self.context.place) is not None:
            place.offer(self.levels.cheaper)

    def _choose_level(self) -> None:
        """Switch to the level that was asked for, or that the rung allows."""
        place = self.context.place
        if self.levels.choose(place.level if place else 0):
            level = self.levels.current
            assert level is not None
            if self._inference is not None:
                self._inference.use(level)
            self.level = str(level)

    def declined(self, count: int) -> tuple[int, str | None]:
        reader = self.reader
        for gap in reader.gaps:
            inside = (gap.stop - reader.position - self.segment_size) // reader.hop_size + 1
            if gap.start <= reader.position and inside > 0:
                return min(count, inside), "gap"
        place = self.context.place
        if place is None:
            return 1, None
        if left_out := place.leave_out(count):
            return left_out, "hop"
        late_s = (time.monotonic_ns() - self._complete_ns()) / 1e9
        in_time = place.begin(late_s, self.deadline_s)
        self.rung = place.ladder.rung  # after `begin`, which may have changed it
        return 1, None if in_time else "overload"

    def _complete_ns(self) -> int:
        """Monotonic time, ns, at which the last sample of the next segment was in the engine."""
        return self.reader.stream.heard_ns(self.reader.position + self.segment_size - 1)

    # -- Tokens ------------------------------------------------------------------------------

    def anticipate(self) -> bool:
        running = self._inference
        if running is None or not running.incremental:
            return False
        if (place := self.context.place) is not None and not place.serves_next:
            return False
        began = time.monotonic_ns()
        done = running.advance(self.reader.position, self._segments.normalised(self.reader.rest()))
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        return done

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> str | None:
        assert self._inference is not None
        self._choose_level()
        segment = self._segments.normalised(windows)
        began = time.monotonic_ns()
        values = self._inference.run(self._outputs.names, self.reader.position, segment)
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        return self._write_tokens(values, outputs, self._gate.is_silent(windows))

    def hand_out(self, window: NDArray[Any]) -> inference.PendingSegment:
        assert self._seat is not None
        self._choose_level()
        self._silent.append(self._gate.is_silent(window))
        expires_ns = None
        if self.context.place is not None:
            expires_ns = self._complete_ns() + round(self.deadline_s * 1e9)
        return self._seat.ask(
            self._segments.normalised(window), self.levels.current_kept, expires_ns
        )

    def accept(self, job: Job, outputs: dict[str, NDArray[Any]]) -> str | None:
        assert isinstance(job, inference.PendingSegment)
        silent = self._silent.popleft()
        if job.expires_ns is not None and (place := self.context.place) is not None:
            # A segment is late by when it is begun, however soon it was handed out.
            begun_ns = job.began_ns or time.monotonic_ns()
            place.note(self.deadline_s + (begun_ns - job.expires_ns) / 1e9, self.deadline_s)
        if job.expired:
            return "overload"
        if job.results is None:
            raise AuricleError(job.error or "inference failed", node=self.name)
        self.elsewhere_ns["inference"] += job.cost_ns
        return self._write_tokens(job.results, outputs, silent)

    def _write_tokens(
        self, values: list[NDArray[np.float32]], outputs: dict[str, NDArray[Any]], silent: bool
    ) -> str | None:
        """Write the tokens of a segment; returns the reason to skip them if any is not finite."""
        if all(np.isfinite(value).all() for value in values):
            self._outputs.write(values, outputs)
            if silent:
                self._remark_silence()
            return None
        if not self.counts["nan"]:
            log.warning(
                "%s: %s gave NaN or infinity; such segments are skipped", self.name, self.card.name
            )
        return "nan"

    def _remark_silence(self) -> None:
        """Remark that the next token of each output is of silence."""
        for port in self.outputs.values():
            stream = port.stream
            token = stream.written
            stream.mark(Remark(token, token + 1, SILENCE, stream.span(token)))
