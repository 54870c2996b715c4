"""The exported part of a network as a torch module: its inputs, outputs and free axes.

One file serves every patchout: the columns and rows of patches to keep are inputs, `KEEP_T` and
`KEEP_F`, and the projected patches are a value called `PATCHES`, where
`auricle.models.inference.patch_split` cuts the file. The batch axis is free, so that segments of
many streams can be run together.
"""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn

from auricle.errors import ModelError
from auricle.models.card import OUTPUT_PURPOSES, FrontEndSpec, TensorSpec
from auricle.models.export.options import Export
from auricle.models.networks.maest import PATCH_SIZE, STRIDE, Maest, pool
from auricle.models.patchout import KEEP_F, KEEP_T, THESIS_LEVELS, PatchGrid, PatchoutLevel
from auricle.models.published import MAEST_FRONT_END

MEL: Final = "melspectrogram"
"""Name of the input of exported files."""

HOP_UNIT: Final = 60
"""Frames that the hop of MAEST is a multiple of, 0.96 s: a whole number of columns of patches, and
of twos and threes of them, so that columns kept for one segment are kept for the next."""


class Exportable(nn.Module):
    """The exported part of a network.

    `forward` takes normalised mel frames (batch, frames, bands) and returns `outputs`, in order. If
    the network has patches, it also takes the columns and rows to keep, int64, and returns the
    projected patches last.

    Attributes:
        network: Network in evaluation mode.
        export: Options of the export.
        front_end: Features that it takes.
        segment_size: Frames of a segment.
        hop_size: Frames from one segment to the next.
        outputs: Names, shapes and purposes of the outputs, for the card.
        grid: Grid by which it cuts a segment into patches; None for a network without patches.
        levels: Patchout levels for the card.
    """

    grid: PatchGrid | None = None
    levels: tuple[PatchoutLevel, ...] = ()

    def __init__(
        self,
        network: nn.Module,
        export: Export,
        front_end: FrontEndSpec,
        segment_size: int,
        hop_size: int,
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.export = export
        self.front_end = front_end
        self.segment_size = segment_size
        self.hop_size = hop_size
        self.outputs: tuple[TensorSpec, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the outputs."""
        return [output.name for output in self.outputs]

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [MEL] if self.grid is None else [MEL, KEEP_T, KEEP_F]

    def example(self) -> tuple[Tensor, ...]:
        """Inputs to trace it with: mel frames (2, frames, bands), and all columns and rows."""
        # Two segments: the tracer would take an axis of size 1 as fixed.
        mel = torch.zeros(2, self.segment_size, self.front_end.n_mels)
        if self.grid is None:
            return (mel,)
        return mel, torch.arange(self.grid.columns), torch.arange(self.grid.rows)

    def free_axes(self) -> tuple[dict[int, Any], ...]:
        """Axes of the inputs that may have any size, in the form of `torch.export`.

        They are the batch, and, for a network with patches, the frames and the kept columns and
        rows.
        """
        if self.grid is None:
            return ({0: torch.export.Dim("batch")},)
        names = ("batch", "frames", "kept_columns", "kept_rows")
        batch, frames, columns, rows = (torch.export.Dim(name) for name in names)
        return {0: batch, 1: frames}, {0: columns}, {0: rows}

    def input_spec(self) -> TensorSpec:
        """Shape of the mel frames, for the card."""
        frames = self.segment_size if self.grid is None else "frames"
        return TensorSpec(name=MEL, shape=("batch", frames, self.front_end.n_mels))

    def in_half_precision(self) -> Exportable:
        """A copy that computes in float16."""
        copied: Exportable = copy.deepcopy(self).half()
        return copied


class _ExportableMaest(Exportable):
    """MAEST up to the block of the export, with the projected patches as an output."""

    levels = THESIS_LEVELS

    def __init__(self, network: Maest, export: Export) -> None:
        config = network.config
        export.check(config)
        size = segment_size(network)
        super().__init__(
            network,
            export,
            export.front_end or MAEST_FRONT_END,
            size,
            export.hop_size or size // HOP_UNIT * HOP_UNIT or size,
        )
        self.grid = PatchGrid(
            rows=config.freq_grid, columns=config.time_grid, size=PATCH_SIZE, stride=STRIDE
        )
        sizes = {"activations": config.n_classes if export.labels else 0}
        sizes["embeddings"] = len(export.kinds) * config.width
        self.outputs = _output_specs(sizes)

    def forward(self, mel: Tensor, keep_t: Tensor, keep_f: Tensor) -> tuple[Tensor, ...]:
        network, export = self.network, self.export
        patches = network.project(mel, keep_t, keep_f)
        if not export.labels:
            return network.summarise(patches, keep_t, keep_f, export.block, export.kinds), patches
        # Without embeddings it does not matter after which block they would be taken.
        block = export.block if export.kinds else 0
        tokens = network.encode(patches, keep_t, keep_f, block)
        embeddings = (pool(tokens, export.kinds),) if export.kinds else ()
        activations = torch.sigmoid(network.head(network.finish(tokens, block).mean(1)))
        return (activations, *embeddings, patches)


class _ExportableConvolutional(Exportable):
    """A network from whole segments to (logits, embeddings)."""

    def __init__(self, network: nn.Module, export: Export) -> None:
        if export.segment_size is None or export.hop_size is None:
            raise ModelError(f"{export.name}: this network needs a segment_size and a hop_size")
        front_end = export.front_end or FrontEndSpec.of("musicnn")
        super().__init__(network, export, front_end, export.segment_size, export.hop_size)
        with torch.no_grad():
            logits, embeddings = self.network(*self.example())
        sizes = {"activations": logits.shape[-1] if export.labels else 0}
        sizes["embeddings"] = embeddings.shape[-1]
        self.outputs = _output_specs(sizes)

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        logits, embeddings = self.network(mel)
        return (torch.sigmoid(logits), embeddings) if self.export.labels else (embeddings,)


class InPrecision(nn.Module):
    """An exported module without the patches, from and to float32 whatever its precision.

    Args:
        module: The module, converted already if `half`.
        half: Whether it computes in float16.
    """

    def __init__(self, module: Exportable, half: bool) -> None:
        super().__init__()
        self.module = module
        self.half_inside = half

    def forward(
        self, mel: Tensor, keep_t: Tensor | None = None, keep_f: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        kept = () if keep_t is None else (keep_t, keep_f)
        outputs = self.module(mel.half() if self.half_inside else mel, *kept)
        return tuple(each.float() for each in outputs[: len(self.module.outputs)])


def exportable(network: nn.Module, export: Export) -> Exportable:
    """The part of a network that an export asks for.

    Args:
        network: A `Maest`, or a network from mel frames (batch, frames, bands) to (logits,
            embeddings).
        export: Options of the export.

    Raises:
        ModelError: The network cannot give the outputs asked for.
    """
    if isinstance(network, Maest):
        return _ExportableMaest(network, export)
    return _ExportableConvolutional(network, export)


def segment_size(network: Maest) -> int:
    """Frames of a segment with a patch in every column, as the published models are run."""
    return (network.config.time_grid - 1) * STRIDE + PATCH_SIZE


def _output_specs(sizes: dict[str, int]) -> tuple[TensorSpec, ...]:
    """Outputs for the card, without those of size 0."""
    return tuple(
        TensorSpec(name=name, shape=("batch", size), output_purpose=OUTPUT_PURPOSES[name])
        for name, size in sizes.items()
        if size
    )
