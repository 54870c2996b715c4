"""Options of an export: what to write when a network becomes a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from auricle.errors import ModelError
from auricle.models.card import FrontEndSpec, first_repeated
from auricle.models.networks.maest import EMBEDDING_BLOCK, KINDS, Kind, MaestConfig

Precision = Literal["fp32", "int8", "fp16"]


@dataclass(frozen=True, slots=True)
class Export:
    """Options of an export.

    Attributes:
        name: Name of the model.
        labels: Labels, one per activation; without labels there are no activations, and of MAEST no
            blocks after that of the embeddings.
        block: Block of MAEST whose tokens make the embeddings, from 0; ignored without `kinds`.
        kinds: Kinds of MAEST's tokens that make the embeddings, concatenated; empty for no
            embeddings.
        precision: Precision of the file. `int8`: dynamic quantisation, with 8-bit weights of matrix
            products and activations quantised at run time. `fp16`: computed in float16, for GPUs.
        half_weights: Whether the weights are stored in float16 but used in float32: a file of half
            the size that is as fast on a CPU. With fp32 only; the card then says fp16.
        program: Whether to write the torch program too, which torch-tensorrt compiles.
        front_end: Features that the network takes; None for those that the published networks of
            its kind were trained on.
        segment_size: Frames of a segment; MAEST has its own.
        hop_size: Frames from one segment to the next; by default MAEST's hardly overlap,
            so that files are tagged once over; a graph that runs live sets a shorter one.
        description: Description in one line, for the card.
        licence: SPDX identifier of the licence, for the card.
        source: Origin of the weights, for the card.
        release_date: Date as YYYY-MM-DD, for the card.
        dataset: Data that the network was trained on, with its scores, for the card.

    Raises:
        ModelError: Nothing is to be exported, a label is repeated, a kind is unknown, or options
            exclude each other.
    """

    name: str
    labels: tuple[str, ...] = ()
    block: int = EMBEDDING_BLOCK
    kinds: tuple[Kind, ...] = KINDS
    precision: Precision = "fp32"
    half_weights: bool = False
    program: bool = False
    front_end: FrontEndSpec | None = None
    segment_size: int | None = None
    hop_size: int | None = None
    description: str = ""
    licence: str | None = None
    source: str | None = None
    release_date: str = ""
    dataset: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.labels and not self.kinds:
            raise ModelError(
                f"{self.name}: neither labels nor kinds of tokens; there is nothing to export"
            )
        if (label := first_repeated(self.labels)) is not None:
            raise ModelError(f"{self.name}: label {label!r} occurs twice")
        if not set(self.kinds) <= set(KINDS) or first_repeated(self.kinds) is not None:
            raise ModelError(
                f"{self.name}: kinds={self.kinds} must be of {', '.join(KINDS)}, each once"
            )
        if self.program and self.precision == "int8":
            raise ModelError(
                f"{self.name}: int8 is for CPUs, and the torch program for GPUs; leave one out"
            )
        if self.half_weights and self.precision != "fp32":
            raise ModelError(
                f"{self.name}: half_weights are computed with in fp32, not in {self.precision}"
            )

    def check(self, config: MaestConfig) -> None:
        """Check that a MAEST of these sizes can give the outputs asked for.

        Raises:
            ModelError: The network has another number of labels, or no block of this number.
        """
        if self.labels and len(self.labels) != config.n_classes:
            raise ModelError(
                f"{self.name}: {len(self.labels)} labels; the network has {config.n_classes}"
            )
        if self.kinds and not 0 <= self.block < config.depth:
            raise ModelError(
                f"{self.name}: block={self.block} must be from 0 to {config.depth - 1}"
            )
