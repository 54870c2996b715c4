"""The files of an exported network: ONNX in one of several precisions, and the torch program."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from auricle.models.export.half_weights import halve_weights
from auricle.models.export.modules import Exportable, InPrecision
from auricle.models.export.onnx_forms import FORMS
from auricle.models.export.options import Export
from auricle.models.patchout import PATCHES

OPSET: Final = 18
"""Lowest opset that torch's exporter writes."""


def write_onnx(module: Exportable, file: Path) -> None:
    """Write the ONNX file of a network, in the precision that its export names."""
    model = _traced(module)
    if module.grid is not None:
        _hide_patches(model)
    onnx.save(model, file)
    _convert(file, module.export)


def save_program(module: InPrecision, file: Path) -> None:
    """Write the torch program of a network, which torch-tensorrt compiles."""
    what = module.module
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            module.eval(), what.example(), dynamic_shapes=what.free_axes()
        )
        torch.export.save(program, file)


def _traced(module: Exportable) -> onnx.ModelProto:
    patches = [] if module.grid is None else [PATCHES]
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            module.example(),
            input_names=module.inputs,
            output_names=[*module.names, *patches],
            dynamic_shapes=module.free_axes(),
            opset_version=OPSET,
            custom_translation_table=dict(FORMS),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _hide_patches(model: onnx.ModelProto) -> None:
    """Make the patches an inner value, not an output: the card does not mention them."""
    (patches,) = (output for output in model.graph.output if output.name == PATCHES)
    # The shapes of other values are informative only, and wrong where a conversion changes them.
    del model.graph.value_info[:]
    model.graph.value_info.append(patches)
    model.graph.output.remove(patches)


def _convert(file: Path, export: Export) -> None:
    """Rewrite the file in another precision, if the export asks for one."""
    if export.half_weights:
        onnx.save(halve_weights(onnx.load(file)), file)
    elif export.precision == "fp16":
        onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)
    elif export.precision == "int8":
        _quantise(file)


def _quantise(file: Path) -> None:
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' messages: missing torchvision, deprecations, advice."""
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
