"""The node that runs a representation model on segments of mel frames."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from auricle.engine.command import Change, Command
from auricle.engine.deferring import Deferring, Job
from auricle.engine.node import NodeParams, describe
from auricle.engine.port import InputPort, OutputPort
from auricle.engine.stream import Axis, Origin
from auricle.errors import AuricleError, ConfigError, ModelError, ProviderError
from auricle.models.card import TensorSpec
from auricle.models.inference.incremental import IncrementalInference
from auricle.models.inference.open_owner import open_owner
from auricle.models.inference.owner import Request, Seat
from auricle.models.inference.patches import PatchInference, tell_if_unshared
from auricle.models.inference.providers import ACCELERATORS, full_name, in_turn
from auricle.models.inference.sessions import open_patch_session, open_session, open_split_session
from auricle.models.inference.whole import Inference, WholeInference
from auricle.models.patchout import Kept, Patchout, PatchoutLevel
from auricle.models.registry import find, info
from auricle.nodes.mel_spectrogram import mel_axis
from auricle.nodes.predictions import FLOAT32, Prediction, Scores
from auricle.wire.messages import NAME

log = logging.getLogger(__name__)

LEAST_DEADLINE_S = 0.5
"""However short the hop: a pause of the machine is no overload."""

LONGEST_DEADLINE_S = 10.0
"""However long the hop: as long as streams remember when their tokens came."""


BATCH = 16
"""Segments of the largest batch on an accelerator, where nobody says."""

LIVE_PLACES = 2
"""Segments that a live stream may have with the owner of the session: more would wait there, unseen
by who measures lateness."""


class BackboneParams(NodeParams):
    """Parameters of `Backbone`."""

    model: str = Field(description="An installed model by name, or its folder.")
    hop_size: int | None = Field(
        None,
        gt=0,
        description="Frames from one segment to the next; the card's. Segments of a transformer share "
        "patches if it is a multiple of the frames from patch to patch: 10 for MAEST.",
    )
    kind: str = Field("tags", pattern=f"^{NAME}$", description="Name of its predictions.")
    top_k: int | None = Field(None, gt=0, description="Labels a prediction names, strongest first.")
    providers: tuple[str, ...] = Field(
        ("cpu",),
        min_length=1,
        description="What runs it, in order of preference: ONNX Runtime's providers (cpu, cuda, tensorrt "
        "and others), or torch-tensorrt. Those that are not there, or fail, are passed over.",
    )
    incremental: bool = Field(
        True,
        description="Compute what overlapping segments share once, where the model allows it.",
    )
    threads: int = Field(1, gt=0, description="Threads that share one inference.")
    batch: int | None = Field(
        None,
        gt=0,
        le=1024,
        description="Most segments, of all streams, that are inferred at once; "
        f"{BATCH} on a GPU, and on a CPU each stream by itself.",
    )
    batch_wait_s: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Longest time for which a segment waits for others in its batch.",
    )
    patchout: str | Patchout | None = Field(
        None,
        description="Patches that a transformer looks at: a level of the card by name, or keep_every and "
        "drop_rows; the card's first level, or all.",
    )
    adaptive: bool = Field(
        False,
        description="Live: go to cheaper levels of the card while there is not enough time.",
    )
    deadline_s: float | None = Field(
        None,
        gt=0,
        le=LONGEST_DEADLINE_S,
        description="Live: seconds after its last sample until which a segment has to be begun; the time "
        "from one segment to the next, but half a second at least and ten at most.",
    )

    @field_validator("patchout", mode="before")
    @classmethod
    def _by_its_form(cls, value: Any) -> Any:
        """What is no name is a setting, so that an error speaks of one of them only."""
        return value if value is None or isinstance(value, str) else Patchout.model_validate(value)


class Backbone(Deferring[BackboneParams]):
    """A model from segments of mel frames to embeddings and activations.

    On a CPU each segment is a view of the ring that goes into ONNX Runtime as it is; what
    overlapping segments share is computed once where the model allows it, as the frames come. On an
    accelerator, or where `batch` says so, segments go to the owner of the session, who runs those
    of all streams together: see `auricle.models.inference.owner`. With a live source that is ahead
    of the machine, segments are left out, never samples: see `auricle.engine.overload`. Segments
    that lie wholly in a gap are skipped too. All of that is counted by reason and marked.

    Raises:
        ConfigError: A model that is not there, or whose card does not say or have what is needed
            here.
    """

    stage = "inference"

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        try:
            self.card = info(self.params.model)
        except ModelError as error:
            raise ConfigError(str(error), node=name) from error
        front_end, segment_size = self.card.front_end, self.card.segment_size
        hop_size = self.params.hop_size or self.card.segment_hop_size
        if front_end is None or segment_size is None or hop_size is None:
            what = (
                f"{self.card.name}: its card has no front_end and segment sizes; is it a backbone?"
            )
            raise ConfigError(what, node=name)
        try:
            known = front_end.definition()
        except ModelError as error:
            raise ConfigError(f"{self.card.name}: {error}", node=name) from error
        self.segment_size = segment_size
        self._seat: Seat | None = None
        """With the owner of the session, who runs the segments then."""
        self._levels: tuple[Patchout, ...] = ()
        self._levels = self.levels_for(self.params.patchout, self.params.adaptive)
        self._level: Patchout | None = None
        """The one in use."""
        hop_s = float(hop_size / known.rate)
        self.deadline_s = self.params.deadline_s or min(
            max(LEAST_DEADLINE_S, hop_s), LONGEST_DEADLINE_S
        )
        mel = self.add_input(
            InputPort(
                "mel",
                f"Segments of {segment_size} mel frames.",
                FLOAT32,
                (mel_axis(known),),
                known.rate,
                frame_size=segment_size,
                hop_size=hop_size,
                lag_s=self.deadline_s,
            )
        )
        burst_s = 1.0
        if self.params.batch or any(
            full_name(each) in ACCELERATORS for each in self.params.providers
        ):
            # Room for all that may be under way, or a file would not fill its batches.
            burst_s = max(burst_s, _places(self._most) * hop_s)
        card = self.card
        self._given: dict[str, TensorSpec] = {}  # outputs of the model, by port
        if card.classes:
            self._given["predictions"] = card.output("predictions") or card.io.outputs[0]
            self.add_output(
                OutputPort(
                    "predictions",
                    "Scores of the model's own labels.",
                    Prediction,
                    follows=mel,
                    burst_s=burst_s,
                    labels=card.classes,
                )
            )
        if (embeddings := card.output("embeddings")) and card.embedding_size:
            self._given["embeddings"] = embeddings
            self.add_output(
                OutputPort(
                    "embeddings",
                    "What heads take.",
                    FLOAT32,
                    (Axis("embedding", card.embedding_size),),
                    follows=mel,
                    burst_s=burst_s,
                    origin=Origin(card.name, card.sha256) if card.sha256 else None,
                )
            )
        self._scale = (front_end.mean, front_end.std)
        self._inference: Inference | None = None

    def start(self) -> None:
        try:
            folder = find(self.params.model)
            self._begin(folder, in_turn(folder, self.params.providers))
        except ConfigError as error:
            error.node = self.name
            raise
        except ModelError as error:
            raise AuricleError(str(error), node=self.name) from error

    def _begin(self, folder: Path, choices: tuple[tuple[str, ...], ...]) -> None:
        """Get ready on the first providers that do not fail; those that do are passed over with one
        line.
        """
        (first, *_), *others = choices
        try:
            if self.params.batch is not None or first in ACCELERATORS:
                self._seat = self._join(folder, choices[0])
            else:
                self._inference = self._open(folder, choices[0])
        except ProviderError as error:
            if not others:
                raise
            _tell_passed_over(self.name, first, others[0][0], str(error))
            self._begin(folder, choices[1:])

    def levels_for(
        self,
        patchout: str | Patchout | Mapping[str, Any] | None = None,
        adaptive: bool | None = None,
    ) -> tuple[Patchout, ...]:
        """The level to use while there is time, then the cheaper ones that may be used.

        Args:
            patchout: As the parameter; what is in use, if None.
            adaptive: Likewise.

        Returns:
            Nothing for a model without patches.

        Raises:
            ConfigError: A level that is not there, or a model without patches; or what is no such
                value.
        """
        if not isinstance(adaptive, bool | None):  # from the control socket, it may be anything
            raise ConfigError(
                f"adaptive={adaptive!r}: input should be true or false", node=self.name
            )
        card, grid = self.card, self.card.patch_grid
        if grid is None:
            if patchout is not None or adaptive:
                raise ConfigError(
                    f"{card.name}: not a model whose patches can be left out", node=self.name
                )
            return ()
        if patchout is None:
            patchout = next(iter((*self._levels, *card.patchout)), Patchout())
        if adaptive is None:
            adaptive = len(self._levels) > 1
        try:
            level = (
                card.level(patchout)
                if isinstance(patchout, str)
                else Patchout.model_validate(patchout)
            )
            tokens = grid.tokens(level)
        except ValidationError as error:
            raise ConfigError(describe(error, "patchout"), node=self.name) from None
        except ModelError as error:
            raise ConfigError(f"patchout: {error}", node=self.name) from error
        if (seat := self._seat) and not seat.owner.is_warm(grid.kept(level)):
            known = ", ".join(each.name for each in card.patchout) or "none"
            what = f"{level} was not warmed up, and would hold up all streams; levels are: {known}"
            raise ConfigError(f"patchout: {what}", node=self.name)
        cheaper = [each for each in card.patchout if grid.tokens(each) < tokens]
        if adaptive and not cheaper:
            what = f"no level is cheaper than {level}, and adaptive needs one"
            raise ConfigError(
                f"{card.name}: {what}; adaptive: false goes with it (auricle control: --fixed)",
                node=self.name,
            )
        return (level, *cheaper) if adaptive else (level,)

    def use_levels(self, levels: tuple[Patchout, ...]) -> None:
        """Use other levels from the next segment on, as `levels_for` gives them. From any thread."""
        self._levels = levels
        self._offer()

    def describe(self) -> dict[str, Any]:
        own = {
            "head": self.params.kind,
            "model": self.card.name,
            "model_version": self.card.version,
            "labels": list(self.card.classes),
        }
        return {
            "model": self.card.name,
            "model_version": self.card.version,
            "predictions": [own] if self.card.classes else [],
        }

    def commands(self) -> Mapping[str, Command]:
        return {"patchout": self.change_patchout} if self.card.patch_grid else {}

    def change_patchout(
        self, patchout: str | Mapping[str, Any] | None = None, adaptive: bool | None = None
    ) -> Change:
        """Change the patches that the model looks at, from the next segment on.

        Args:
            patchout: A level of the card, or `keep_every` and `drop_rows`; None keeps the present.
            adaptive: Whether to go to cheaper levels while there is not enough time; None keeps
                the present.

        Returns:
            The change, which gives the names of the level in use while there is time, and of the
            cheaper ones that may be used.

        Raises:
            ConfigError: As `levels_for`.
        """
        levels = self.levels_for(patchout, adaptive)

        def change() -> list[str]:
            self.use_levels(levels)
            return [str(level) for level in levels]

        return change

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        levels = self._levels
        if levels:
            level = levels[0]
            settings["patchout"] = (
                level.name if isinstance(level, PatchoutLevel) else level.model_dump(mode="json")
            )
            settings["adaptive"] = len(levels) > 1
        return settings

    def _offer(self) -> None:
        if (place := self.context.place) is not None:
            place.offer(max(0, len(self._levels) - 1))

    def _choose_level(self) -> None:
        """Go over to the level that is asked for, or that the rung allows."""
        levels = self._levels  # once: another thread may put others in their place
        if not levels:
            return
        place = self.context.place
        level = levels[min(place.level, len(levels) - 1) if place else 0]
        if level != self._level:
            if isinstance(self._inference, PatchInference):
                self._inference.use(level)
            self._level, self.level = level, str(level)

    def _open(self, folder: Path, providers: tuple[str, ...]) -> Inference:
        params, hop_size = self.params, self.inputs["mel"].hop_size
        if self._levels:
            assert self.card.patch_grid is not None
            session = open_patch_session(folder, providers, params.threads)
            inference = PatchInference(session, self.card.patch_grid, self._levels[0])
            if hop_size < self.segment_size:
                tell_if_unshared(self.card.name, hop_size, self.card.patch_grid.stride)
            # Live, another level may be asked for at any time; a file can wait for it.
            inference.warm(
                self._names, (*self._levels, *(self.card.patchout if self.context.live else ()))
            )
            self._offer()
            return inference
        if params.incremental:
            split = open_split_session(folder, hop_size, providers, params.threads)
            if split is not None:
                return IncrementalInference(split, self.segment_size, hop_size)
        return WholeInference(open_session(folder, providers, params.threads))

    def _join(self, folder: Path, providers: tuple[str, ...]) -> Seat:
        """A seat with the owner of the session, who has run all that can be asked for while it
        runs.

        A patchout that no level of the card is has to be there before the owner's other streams.
        """
        params, card, names = self.params, self.card, tuple(self._names)
        owner = open_owner(
            folder, providers, params.threads, names, self._most, params.batch_wait_s
        )
        owner.warm([self._kept(level) for level in (*self._levels, *card.patchout)] or [None])
        self._offer()
        self.places = LIVE_PLACES if self.context.live else _places(owner.sizes[-1])
        return owner.join(self.context.wake)

    def _kept(self, level: Patchout | None) -> Kept | None:
        grid = self.card.patch_grid
        return None if grid is None or level is None else grid.kept(level)

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
        in_time = place.begin(self._late_s(), self.deadline_s)
        self.rung = place.ladder.rung  # after that, which may have changed it
        return 1, None if in_time else "overload"

    def _late_s(self) -> float:
        """Seconds since the last sample of the next segment came in."""
        return (time.monotonic_ns() - self._complete_ns()) / 1e9

    def _complete_ns(self) -> int:
        """When that was."""
        reader = self.reader
        return reader.stream.heard_ns(reader.position + self.segment_size - 1)

    def anticipate(self) -> bool:
        if not isinstance(self._inference, IncrementalInference):
            return False
        if (place := self.context.place) is not None and not place.serves_next:
            return False
        began = time.monotonic_ns()
        done = self._inference.advance(self.reader.position, self._scaled(self.reader.rest()))
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        return done

    def compute(self, windows: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
        assert self._inference is not None
        self._choose_level()
        segment = self._scaled(windows)
        began = time.monotonic_ns()
        values_of = self._inference.run(self._names, self.reader.position, segment)
        self.elsewhere_ns["inference"] += time.monotonic_ns() - began
        self._give(values_of, outputs)

    def hand_out(self, window: NDArray[Any]) -> Request:
        assert self._seat is not None
        self._choose_level()
        expires_ns = None
        if self.context.place is not None:
            expires_ns = self._complete_ns() + round(self.deadline_s * 1e9)
        return self._seat.ask(self._scaled(window), self._kept(self._level), expires_ns)

    def accept(self, job: Job, outputs: dict[str, NDArray[Any]]) -> str | None:
        assert isinstance(job, Request)
        if job.expires_ns is not None and (place := self.context.place) is not None:
            # Where it is begun is where it is late, however soon it was handed out.
            begun_ns = job.began_ns or time.monotonic_ns()
            place.tell(self.deadline_s + (begun_ns - job.expires_ns) / 1e9, self.deadline_s)
        if job.expired:
            return "overload"
        if job.results is None:
            raise AuricleError(job.error or "inference failed", node=self.name)
        self.elsewhere_ns["inference"] += job.cost_ns
        self._give(job.results, outputs)
        return None

    def _give(self, values_of: list[NDArray[np.float32]], outputs: dict[str, NDArray[Any]]) -> None:
        """Tokens of what came out for one segment."""
        results = dict(zip(self._given, values_of, strict=True))
        card, params = self.card, self.params
        if "predictions" in results:
            activations = results["predictions"][0]
            scores = Scores(
                params.kind, card.name, card.version, card.classes, activations, params.top_k
            )
            outputs["predictions"][0] = Prediction((scores,))
        if "embeddings" in results:
            values = results["embeddings"]
            outputs["embeddings"][:] = (
                _pooled(values) if self._given["embeddings"].pooling else values
            )

    @property
    def _most(self) -> int:
        """Segments of the largest batch."""
        return self.params.batch or BATCH

    @property
    def _names(self) -> list[str]:
        return [output.name for output in self._given.values()]

    def _scaled(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Frames as the model was trained on them."""
        mean, std = self._scale
        return (
            frames if (mean, std) == (0.0, 1.0) else (frames - np.float32(mean)) / np.float32(std)
        )

    def stop(self) -> None:
        super().stop()
        self._inference = None
        if self._seat is not None:
            self._seat.leave()
            self._seat = None

    def statistics(self) -> dict[str, Any]:
        return {
            "model": self.card.name,
            "version": self.card.version,
            "incremental": isinstance(self._inference, IncrementalInference),
            **({"patchout": str(self._level)} if self._level else {}),
            **(seat.owner.statistics() if (seat := self._seat) else {}),
        }


@functools.cache
def _tell_passed_over(node: str, failed: str, following: str, why: str) -> None:
    """Say it once however many streams there are."""
    log.warning("%s: %s failed, and %s is next: %s", node, failed, following, why)


def _places(most: int) -> int:
    """Segments that a file may have with the owner of the session: a batch that runs, and the next
    one.
    """
    return 2 * most


def _pooled(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (segments, 3 * size) of tokens (segments, tokens, size), of which two are special."""
    parts = [tokens[:, 0], tokens[:, 1], tokens[:, 2:].mean(axis=1)]
    return np.concatenate(parts, axis=1)
