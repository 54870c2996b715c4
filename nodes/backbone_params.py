"""Parameters of the backbone."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from auricle.engine.node import NodeParams
from auricle.models.inference.opening import BATCH
from auricle.models.patchout import Patchout
from auricle.names import NAME

LONGEST_DEADLINE_S = 10.0
"""Longest deadline in seconds, however long the hop: streams remember the times of their tokens for
as long."""


class BackboneParams(NodeParams):
    """Parameters of `auricle.nodes.backbone.Backbone`."""

    model: str = Field(description="Name of an installed model, or its folder.")
    hop_size: int | None = Field(
        None,
        gt=0,
        description="Frames from one segment to the next; the card's, if left out. Segments of a "
        "transformer share patches if it is a multiple of the frames from patch to patch: 10 for "
        "MAEST.",
    )
    kind: str = Field("tags", pattern=f"^{NAME}$", description="Name of its predictions.")
    gate_db: float | None = Field(
        None,
        ge=-150,
        le=0,
        description="Level of a 1 kHz tone in dBFS: segments in which no mel band is stronger than "
        "that of the tone are flagged as silence; digital silence only, if left out.",
    )
    top_k: int | None = Field(
        None, gt=0, description="Most labels in a prediction, strongest first; all, if left out."
    )
    providers: tuple[str, ...] = Field(
        ("cpu",),
        min_length=1,
        description="Runtimes in order of preference: ONNX Runtime's providers (cpu, cuda, "
        "tensorrt and others), or torch-tensorrt. Any that is missing or fails is passed over.",
    )
    incremental: bool = Field(
        True,
        description="Compute what overlapping segments share once, where the model allows it.",
    )
    threads: int = Field(1, gt=0, le=256, description="Threads that share one inference.")
    batch: int | None = Field(
        None,
        gt=0,
        le=1024,
        description="Most segments, of all streams, that are inferred together; if left out, "
        f"{BATCH} on a GPU, and on a CPU each stream by itself.",
    )
    batch_wait_s: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Longest time in seconds for which a segment waits for others in its batch.",
    )
    patchout: str | Patchout | None = Field(
        None,
        description="Patches that a transformer looks at: a level of the card by name, or "
        "keep_every and drop_rows; if left out, the card's first level, or all patches.",
    )
    adaptive: bool = Field(
        False,
        description="Live: go to cheaper levels of the card while there is not enough time.",
    )
    deadline_s: float | None = Field(
        None,
        gt=0,
        le=LONGEST_DEADLINE_S,
        description="Live: seconds after its last sample within which a segment has to be begun; "
        "if left out, the time from one segment to the next, at least 0.5 and at most 10.",
    )

    @field_validator("patchout", mode="before")
    @classmethod
    def _parse_setting(cls, value: Any) -> Any:
        """Parse anything but a string as a setting, so that an error speaks of one form only."""
        return value if value is None or isinstance(value, str) else Patchout.model_validate(value)
