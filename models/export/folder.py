"""From a network in torch to a model folder that the engine runs.

One file serves every patchout: which columns and rows of patches are kept are inputs, `KEEP_T` and
`KEEP_F`, and the projected patches are a value by the name of `PATCHES`, where
`auricle.models.inference.patch_split` cuts it. The batch axis is free, for who runs the segments of
many streams together.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from auricle.errors import ModelError
from auricle.models.card import (
    Card,
    Deviation,
    Inference,
    Schema,
    TensorSpec,
    first_repeated,
    save_card,
)
from auricle.models.convert.wheel import FRONT_END
from auricle.models.export.onnx_forms import FORMS
from auricle.models.files import new_folder, sha256
from auricle.models.networks.maest import (
    EMBEDDING_BLOCK,
    KINDS,
    PATCH_SIZE,
    STRIDE,
    Kind,
    Maest,
    MaestConfig,
    pool,
)
from auricle.models.patchout import KEEP_F, KEEP_T, PATCHES, THESIS_LEVELS, PatchGrid
from auricle.models.published import MAEST_FRONT_END

MEL: Final = "melspectrogram"

PURPOSES: Final = {"activations": "predictions", "embeddings": "embeddings"}
"""Of the outputs, as cards say it."""

Precision = Literal["fp32", "int8", "fp16"]

OPSET: Final = 18
"""The least that torch's exporter writes."""

HOP_FRAMES: Final = 60
"""0.96 s: a whole number of columns, and of twos and threes of them, so that kept ones are kept
again.
"""


@dataclass(frozen=True, slots=True)
class Export:
    """What to write.

    Attributes:
        name: Of the model.
        labels: Of the activations; none leaves these out, and the blocks behind the embeddings'
            with them.
        block: Whose tokens make the embeddings, from 0; without kinds it does not matter.
        kinds: Which of them, stacked; none leaves embeddings out.
        precision: `int8` has the weights of products in 8 bits, and quantises what they are
            multiplied with as it comes; `fp16` is for GPUs.
        program: Whether to write the torch program too, which torch-tensorrt compiles.
        description, licence, source: For the card.

    Raises:
        ModelError: Nothing to give, a label twice, kinds that there are not, or what does not go
            together.
    """

    name: str
    labels: tuple[str, ...] = ()
    block: int = EMBEDDING_BLOCK
    kinds: tuple[Kind, ...] = KINDS
    precision: Precision = "fp32"
    program: bool = False
    description: str = ""
    licence: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.labels and not self.kinds:
            raise ModelError(
                f"{self.name}: neither labels nor kinds of tokens; there is nothing to export"
            )
        if (label := first_repeated(self.labels)) is not None:
            raise ModelError(f"{self.name}: label {label!r} is there twice")
        if not set(self.kinds) <= set(KINDS) or first_repeated(self.kinds) is not None:
            raise ModelError(
                f"{self.name}: kinds={self.kinds} must be of {', '.join(KINDS)}, each once"
            )
        if self.program and self.precision == "int8":
            raise ModelError(
                f"{self.name}: int8 is for CPUs, and the torch program for GPUs; leave one out"
            )

    def check(self, config: MaestConfig) -> None:
        """Raise ModelError, if a network of these sizes has other labels, or no such block."""
        if self.labels and len(self.labels) != config.n_classes:
            raise ModelError(
                f"{self.name}: {len(self.labels)} labels; the network has {config.n_classes}"
            )
        if self.kinds and not 0 <= self.block < config.depth:
            raise ModelError(
                f"{self.name}: block={self.block} must be from 0 to {config.depth - 1}"
            )


def segment_size(network: Maest) -> int:
    """Frames that have a patch in every column of the time grid, as the published models are run."""
    return (network.config.time_grid - 1) * STRIDE + PATCH_SIZE


def export_maest(
    network: Maest,
    folder: Path,
    export: Export,
    segments: Sequence[NDArray[np.float32]] = (),
    tried_on: str = "",
) -> Card:
    """Write a model folder.

    Args:
        network: With its weights.
        folder: Must not exist; is there as a whole or not at all.
        export: What to write.
        segments: Mel frames as the front end gives them, (`segment_size`, 96) each, on which the
            file is compared with the network. Music: quantisation goes by what comes.
        tried_on: What these are, for the card.

    Returns:
        The card, with the deviations.

    Raises:
        ModelError: Labels that are not as many as the network has, or no such block.
    """
    config = network.config
    export.check(config)
    network = network.eval()
    grid = PatchGrid(
        rows=config.freq_grid, columns=config.time_grid, size=PATCH_SIZE, stride=STRIDE
    )
    size = segment_size(network)
    whole = _Whole(network, export).eval()
    with new_folder(folder) as new:
        file = new / "model.onnx"
        _write(whole, file, size, grid)
        if export.precision != "fp32":
            _convert(file, export.precision)
        program = new / "model.pt2"
        half = (
            _Program(copy.deepcopy(network), export, half=True)
            if export.precision == "fp16"
            else None
        )
        if export.program:
            _save_program(
                half or _Program(network, export, half=False),
                program,
                _example(config, size, grid),
                _free(),
            )
        card = Card(
            name=export.name,
            type="feature extractor" if not export.labels else "auto-tagging",
            version="1",
            classes=export.labels,
            io=Schema(
                inputs=(TensorSpec(name=MEL, shape=("batch", "frames", config.n_mels)),),
                outputs=tuple(whole.specs()),
            ),
            inference=Inference(sample_rate=MAEST_FRONT_END.sample_rate),
            description=export.description,
            licence=export.licence,
            source=export.source,
            file=file.name,
            sha256=sha256(file),
            front_end=MAEST_FRONT_END,
            segment_size=size,
            segment_hop_size=HOP_FRAMES,
            patch_grid=grid,
            patchout=THESIS_LEVELS,
            program=program.name if export.program else None,
            program_sha256=sha256(program) if export.program else None,
            precision=export.precision,
            deviation=_deviation(whole, file, half, grid, segments, tried_on) if segments else None,
        )
        save_card(card, new)
    return card


class _Whole(nn.Module):
    """From mel frames to what is exported, the patches in sight."""

    def __init__(self, network: Maest, export: Export) -> None:
        super().__init__()
        self.network = network
        self.export = export
        self.names = [
            *(["activations"] if export.labels else []),
            *(["embeddings"] if export.kinds else []),
        ]

    def forward(self, mel: Tensor, keep_t: Tensor, keep_f: Tensor) -> tuple[Tensor, ...]:
        network, export = self.network, self.export
        patches = network.project(mel, keep_t, keep_f)
        if not export.labels:
            return network.summarise(patches, keep_t, keep_f, export.block, export.kinds), patches
        # Without embeddings it does not matter where the blocks are parted.
        block = export.block if export.kinds else 0
        tokens = network.encode(patches, keep_t, keep_f, block)
        embeddings = (pool(tokens, export.kinds),) if export.kinds else ()
        activations = torch.sigmoid(network.head(network.finish(tokens, block).mean(1)))
        return (activations, *embeddings, patches)

    def specs(self) -> list[TensorSpec]:
        """The outputs, for the card."""
        config, export = self.network.config, self.export
        sizes = {"activations": config.n_classes, "embeddings": len(export.kinds) * config.width}
        return [
            TensorSpec(name=name, shape=("batch", sizes[name]), output_purpose=PURPOSES[name])
            for name in self.names
        ]


class _Program(nn.Module):
    """What is exported, without the patches; in half precision between the frames and the outputs,
    or not.

    Args:
        network: Converted, if `half`.
        export: What is asked of it.
        half: Whether the numbers inside have 16 bits.
    """

    def __init__(self, network: Maest, export: Export, half: bool) -> None:
        super().__init__()
        self.whole = _Whole(network.half() if half else network, export)
        self.half_inside = half

    def forward(self, mel: Tensor, keep_t: Tensor, keep_f: Tensor) -> tuple[Tensor, ...]:
        outputs = self.whole(mel.half() if self.half_inside else mel, keep_t, keep_f)[:-1]
        return tuple(each.float() for each in outputs)


def _save_program(
    module: nn.Module, file: Path, example: tuple[Tensor, ...], shapes: tuple[dict[int, Any], ...]
) -> None:
    with torch.no_grad(), _quiet():
        program = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
        torch.export.save(program, file)


def _example(config: MaestConfig, size: int, grid: PatchGrid) -> tuple[Tensor, ...]:
    # Two segments: the tracer takes an axis of one for one that is always so.
    return torch.zeros(2, size, config.n_mels), torch.arange(grid.columns), torch.arange(grid.rows)


def _free() -> tuple[dict[int, Any], ...]:
    """The axes of the inputs that may have any size."""
    names = ("batch", "frames", "kept_columns", "kept_rows")
    batch, frames, columns, rows = (torch.export.Dim(name) for name in names)
    return {0: batch, 1: frames}, {0: columns}, {0: rows}


def _write(whole: _Whole, file: Path, size: int, grid: PatchGrid) -> None:
    example = _example(whole.network.config, size, grid)
    model = _traced(whole, example, [MEL, KEEP_T, KEEP_F], [*whole.names, PATCHES], _free())
    # A value inside, not an output: who runs the file gets what the card speaks of.
    (patches,) = (output for output in model.graph.output if output.name == PATCHES)
    # The other values' shapes are for readers, and in the way where a conversion changes them.
    del model.graph.value_info[:]
    model.graph.value_info.append(patches)
    model.graph.output.remove(patches)
    onnx.save(model, file)


def export_convolutional(
    network: nn.Module,
    folder: Path,
    name: str,
    segment_size: int,
    hop_size: int,
    labels: tuple[str, ...] = (),
    program: bool = False,
) -> Card:
    """Write the model folder of a network of `auricle.models.networks` that gives (logits,
    embeddings), in fp32.

    Args:
        network: From mel frames of the front end `musicnn`, (batch, frames, bands), not normalised.
        folder: As for `export_maest`.
        name: Of the model.
        segment_size: Frames of a segment.
        hop_size: Frames from one segment to the next.
        labels: Of the logits; none leaves activations out.
        program: As in `Export`.

    Returns:
        The card.
    """
    example = torch.zeros(2, segment_size, 96)
    whole = _Activations(network.eval(), bool(labels)).eval()
    names = [*(["activations"] if labels else []), "embeddings"]
    with new_folder(folder) as new:
        file = new / "model.onnx"
        free: tuple[dict[int, Any], ...] = ({0: torch.export.Dim("batch")},)
        onnx.save(_traced(whole, (example,), [MEL], names, free), file)
        written = new / "model.pt2"
        if program:
            _save_program(whole, written, (example,), free)
        with torch.no_grad():
            sizes = [each.shape[-1] for each in whole(example)]
        outputs = tuple(
            TensorSpec(name=each, shape=("batch", size), output_purpose=PURPOSES[each])
            for each, size in zip(names, sizes, strict=True)
        )
        card = Card(
            name=name,
            type="auto-tagging" if labels else "feature extractor",
            version="1",
            classes=labels,
            io=Schema(
                inputs=(TensorSpec(name=MEL, shape=("batch", segment_size, 96)),), outputs=outputs
            ),
            inference=Inference(sample_rate=MAEST_FRONT_END.sample_rate),
            file=file.name,
            sha256=sha256(file),
            front_end=FRONT_END,
            segment_size=segment_size,
            segment_hop_size=hop_size,
            program=written.name if program else None,
            program_sha256=sha256(written) if program else None,
            precision="fp32",
        )
        save_card(card, new)
    return card


class _Activations(nn.Module):
    """What a network with one head is exported with."""

    def __init__(self, network: nn.Module, labelled: bool) -> None:
        super().__init__()
        self.network = network
        self.labelled = labelled

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        logits, embeddings = self.network(mel)
        return (torch.sigmoid(logits), embeddings) if self.labelled else (embeddings,)


def _traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic_shapes: tuple[dict[int, Any], ...],
) -> onnx.ModelProto:
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=OPSET,
            custom_translation_table=dict(FORMS),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of themselves: missing torchvision, deprecations, advice."""
    names = ("torch.onnx", "root")  # the quantiser's advice comes from the root
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in names:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)


def _convert(file: Path, precision: Precision) -> None:
    """The same file with other numbers inside."""
    if precision == "fp16":
        onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / file.name
        file.rename(source)
        with _quiet():
            quantize_dynamic(
                source,
                file,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
            )


def _deviation(
    whole: _Whole,
    file: Path,
    half: _Program | None,
    grid: PatchGrid,
    segments: Sequence[NDArray[np.float32]],
    tried_on: str,
) -> Deviation:
    """The file against the network, with all patches and with the fewest of the levels.

    ONNX Runtime computes in single precision on a CPU whatever the file says, so `half` runs, too,
    as the file will on a GPU; the worse of both counts.

    Raises:
        ModelError: What comes out is not finite.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    differences: list[float] = []
    cosines: list[float] = []
    for segment in segments:
        mel = ((segment - MAEST_FRONT_END.mean) / MAEST_FRONT_END.std).astype(np.float32)[None]
        for level in (THESIS_LEVELS[0], THESIS_LEVELS[-1]):
            columns, rows = (np.array(kept) for kept in grid.kept(level))
            with torch.no_grad():
                expected = whole(*(torch.from_numpy(each) for each in (mel, columns, rows)))
            inputs = {MEL: mel, KEEP_T: columns, KEEP_F: rows}
            found = [session.run(whole.names, inputs)]
            if half is not None:
                with torch.no_grad():
                    found.append(
                        [each.numpy() for each in half(*map(torch.from_numpy, inputs.values()))]
                    )
            for outputs in found:
                for name, one, other in zip(whole.names, outputs, expected, strict=False):
                    if not np.isfinite(one).all():
                        raise ModelError(
                            f"{whole.export.name}: its {name} are not finite: {tried_on}"
                        )
                    if name == "activations":
                        differences.append(float(np.abs(one - other.numpy()).max()))
                    else:
                        norms = np.linalg.norm(one) * np.linalg.norm(other)
                        cosines.append(float(np.sum(one * other.numpy()) / norms))
    return Deviation(
        activations=max(differences, default=None),
        cosine=min(cosines, default=None),
        tried_on=tried_on,
    )
