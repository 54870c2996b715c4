"""Torch-TensorRT: the torch program of an exported model, compiled ahead of time for fixed shapes.

A torch program is a file of `torch.export.save`; `auricle.models.export.folder` puts it beside the
ONNX file. The types of its numbers determine the precision (strong typing). Reading one runs code
in it, as unpickling does, so it is compared with the hash of its card, and cards are trusted as
programs are. Torch is imported only when something is compiled or read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.errors import one_line
from auricle.models.cache import programs_folder
from auricle.models.card import Card, check_program
from auricle.models.inference.program_cache import CompiledProgram, ProgramCache, ProgramShape
from auricle.models.patchout import Kept


def unusable_reason(card: Card) -> str | None:
    """Why a model cannot be compiled here; None if it can."""
    if card.program is None:
        return "the model has no torch program: auricle models export --program writes one"
    return no_compiler_reason()


def no_compiler_reason() -> str | None:
    """Why no model can be compiled here; None if one can."""
    if importlib.util.find_spec("torch_tensorrt") is None:
        return "torch_tensorrt is not installed"
    try:
        import torch
        import torch_tensorrt  # noqa: F401
    except Exception as error:  # a build for another torch or CUDA fails in many ways
        return f"torch_tensorrt cannot be imported: {one_line(error)}"
    return None if torch.cuda.is_available() else "no GPU that CUDA can use"


class TorchTensorrt:
    """Compiles with `torch_tensorrt.compile`.

    See `auricle.models.inference.program_cache.Compiler`.
    """

    def traits(self) -> Mapping[str, str]:
        """The GPU, and the versions of the libraries that compile and run."""
        import tensorrt
        import torch
        import torch_tensorrt

        return {
            "gpu": torch.cuda.get_device_name(),
            "capability": ".".join(map(str, torch.cuda.get_device_capability())),
            "torch": str(torch.__version__),
            "torch_tensorrt": str(torch_tensorrt.__version__),
            "tensorrt": str(tensorrt.__version__),
        }

    def compile(self, program: Path, shape: ProgramShape, target: Path) -> None:
        """Compile the torch program in a file for the GPU of this machine."""
        import torch_tensorrt

        exported, inputs = specialise(program, shape, "cuda")
        compiled = torch_tensorrt.compile(
            exported,
            ir="dynamo",
            arg_inputs=list(inputs),
            use_explicit_typing=True,
            # By default it is in the folder for temporary files, and belongs to whichever user of
            # the machine came first.
            timing_cache_path=str(programs_folder() / "timing_cache.bin"),
        )
        torch_tensorrt.save(
            compiled, str(target), output_format="exported_program", arg_inputs=list(inputs)
        )

    def load(self, compiled: Path) -> CompiledProgram:
        """Read what `compile` wrote."""
        import torch
        import torch_tensorrt  # noqa: F401  # registers the operator that runs compiled parts

        module = torch.export.load(str(compiled)).module()

        def run(segments: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            with torch.no_grad():
                outputs = module(torch.from_numpy(segments).cuda())
            if isinstance(outputs, torch.Tensor):
                outputs = [outputs]
            return [np.asarray(each.cpu().numpy()) for each in outputs]

        return run


def specialise(program: Path, shape: ProgramShape, device: str) -> tuple[Any, tuple[Any]]:
    """A torch program for one shape only: the patches to look at are constants of it.

    Args:
        program: File of the torch program.
        shape: Shape of the batches.
        device: Name of the device in torch.

    Returns:
        The `torch.export.ExportedProgram`, which takes segments alone, and an example of its input,
        of shape (batch, frames, bands).
    """
    import torch
    from torch.export.passes import move_to_device_pass

    module = move_to_device_pass(torch.export.load(str(program)), device).module()
    if shape.kept is not None:
        module = _with_constant_patches(module, shape.kept, device)
    example = (torch.zeros(shape.batch, shape.frames, shape.bands, device=device),)
    with torch.no_grad():
        return torch.export.export(module, example), example


def _with_constant_patches(module: Any, kept: Kept, device: str) -> Any:
    import torch

    class WithConstantPatches(torch.nn.Module):
        """A torch program with the indices of the patches to keep filled in."""

        def __init__(self) -> None:
            super().__init__()
            self.program = module
            for name, indices in zip(("keep_t", "keep_f"), kept, strict=True):
                self.register_buffer(name, torch.tensor(indices, device=device))

        def forward(self, mel: Any) -> Any:
            return self.program(mel, self.keep_t, self.keep_f)

    return WithConstantPatches()


class ProgramRunner:
    """A torch program, compiled for batches. See `auricle.models.inference.owner.Runner`.

    Args:
        cache: Cache of the program's compiled forms.
        shape: Frames and bands of a segment.
        outputs: Indices of the requested outputs among the program's.
    """

    def __init__(self, cache: ProgramCache, shape: tuple[int, int], outputs: Sequence[int]) -> None:
        self._cache = cache
        self._shape = shape
        self._outputs = list(outputs)
        self._compiled: dict[tuple[int, Kept | None], CompiledProgram] = {}

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Compile the program for a shape, or read it if it was compiled before.

        Raises:
            ModelError: The program cannot be compiled.
        """
        self._compiled[size, kept] = self._cache.compiled(ProgramShape(size, *self._shape, kept))

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """Run segments, shape (batch, segment_size, bands); see `Runner`."""
        results = self._compiled[len(segments), kept](segments)
        return [results[place] for place in self._outputs]


def open_program(folder: Path, card: Card, names: Sequence[str]) -> ProgramRunner:
    """Open the torch program of a model, to be compiled on this machine.

    Args:
        folder: Folder of the model.
        card: Card of the model, with segment sizes.
        names: Names of the requested outputs.

    Raises:
        ModelError: The program is missing, or is not the one that the card describes.
    """
    assert card.segment_size is not None
    assert card.input_size is not None
    path, digest = check_program(folder, card)
    cache = ProgramCache(programs_folder(), TorchTensorrt(), path, digest, card.name)
    places = [output.name for output in card.io.outputs]
    shape = (card.segment_size, card.input_size)
    return ProgramRunner(cache, shape, [places.index(name) for name in names])
