"""Torch-TensorRT: the torch program of an exported model, compiled ahead of time for fixed shapes.

A program is what `torch.export.save` writes; `auricle.models.export.folder` puts it beside the ONNX
file. Its numbers say in which precision it is computed (strong typing). Reading one runs what is in
it, as unpickling does: it is held to the hash of its card, and cards are trusted as programs are.
Torch is imported when something is compiled or read, and by nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auricle.errors import ModelError
from auricle.models.card import Card, card_path
from auricle.models.files import sha256
from auricle.models.inference.program_cache import Engine, EngineCache, EngineShape
from auricle.models.patchout import Kept
from auricle.models.registry import cache_folder

ENGINES: Final = "engines"
"""Folder in the cache."""


def missing(card: Card) -> str | None:
    """Why a model cannot be compiled here; None if it can."""
    if card.program is None:
        return "the model has no torch program: auricle models export --program writes one"
    return missing_here()


def missing_here() -> str | None:
    """Likewise whatever the model."""
    if importlib.util.find_spec("torch_tensorrt") is None:
        return "torch_tensorrt is not installed"
    try:
        import torch
        import torch_tensorrt  # noqa: F401
    except Exception as error:  # a build for another torch or CUDA fails in many ways
        return f"torch_tensorrt cannot be imported: {' '.join(str(error).split())}"
    return None if torch.cuda.is_available() else "no GPU that CUDA can use"


def program_path(folder: Path, card: Card) -> tuple[Path, str]:
    """The program of a model and its hash.

    Raises:
        ModelError: It is not there, or not the one that the card speaks of.
    """
    assert card.program is not None
    path = card_path(folder).with_name(card.program)
    if not path.is_file():
        raise ModelError(f"model '{card.name}': no {card.program} in {path.parent}")
    found = sha256(path)
    if card.program_sha256 != found:
        raise ModelError(
            f"model '{card.name}': {path} is damaged: its sha256 is not that of the card"
        )
    return path, found


class TorchTensorrt:
    """Compiles with `torch_tensorrt.compile`. See
    `auricle.models.inference.program_cache.Compiler`.
    """

    def traits(self) -> Mapping[str, str]:
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

    def compile(self, program: Path, shape: EngineShape, engine: Path) -> None:
        import torch_tensorrt

        exported, inputs = fixed(program, shape, "cuda")
        compiled = torch_tensorrt.compile(
            exported,
            ir="dynamo",
            arg_inputs=list(inputs),
            use_explicit_typing=True,
            # Its own place is in the folder for temporary files, and belongs to the machine's first
            # user.
            timing_cache_path=str(cache_folder() / ENGINES / "timing_cache.bin"),
        )
        torch_tensorrt.save(
            compiled, str(engine), output_format="exported_program", arg_inputs=list(inputs)
        )

    def load(self, engine: Path) -> Engine:
        import torch
        import torch_tensorrt  # noqa: F401  # knows the operator that runs engines

        module = torch.export.load(str(engine)).module()

        def run(segments: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            with torch.no_grad():
                outputs = module(torch.from_numpy(segments).cuda())
            if isinstance(outputs, torch.Tensor):
                outputs = [outputs]
            return [np.asarray(each.cpu().numpy()) for each in outputs]

        return run


def fixed(program: Path, shape: EngineShape, device: str) -> tuple[Any, tuple[Any]]:
    """A program for one shape only: the patches to look at are constants of it.

    Returns:
        The `torch.export.ExportedProgram`, which takes segments alone, and an example of them.
    """
    import torch
    from torch.export.passes import move_to_device_pass

    module = move_to_device_pass(torch.export.load(str(program)), device).module()
    if shape.kept is not None:
        module = _at_level(module, shape.kept, device)
    example = (torch.zeros(shape.batch, shape.frames, shape.bands, device=device),)
    with torch.no_grad():
        return torch.export.export(module, example), example


def _at_level(module: Any, kept: Kept, device: str) -> Any:
    import torch

    class AtLevel(torch.nn.Module):
        """The program, told which patches to keep."""

        def __init__(self) -> None:
            super().__init__()
            self.program = module
            for name, indices in zip(("keep_t", "keep_f"), kept, strict=True):
                self.register_buffer(name, torch.tensor(indices, device=device))

        def forward(self, mel: Any) -> Any:
            return self.program(mel, self.keep_t, self.keep_f)

    return AtLevel()


class ProgramRunner:
    """A program for batches. See `auricle.models.inference.owner.Runner`.

    Args:
        cache: Its engines.
        shape: Frames and bands of a segment.
        outputs: Which of the program's outputs are wanted, by their place.
    """

    def __init__(self, cache: EngineCache, shape: tuple[int, int], outputs: Sequence[int]) -> None:
        self._cache = cache
        self._shape = shape
        self._outputs = list(outputs)
        self._engines: dict[tuple[int, Kept | None], Engine] = {}

    def prepare(self, size: int, kept: Kept | None) -> None:
        """Compile, or read what was compiled before. Raises ModelError."""
        self._engines[size, kept] = self._cache.engine(EngineShape(size, *self._shape, kept))

    def run(self, segments: NDArray[np.float32], kept: Kept | None) -> list[NDArray[np.float32]]:
        """See `auricle.models.inference.owner.Runner`."""
        results = self._engines[len(segments), kept](segments)
        return [results[place] for place in self._outputs]


def open_program(folder: Path, card: Card, names: Sequence[str]) -> ProgramRunner:
    """The program of a model, to be compiled on this machine.

    Args:
        folder: The model's.
        card: Its card, with segment sizes.
        names: Of the outputs that are wanted.

    Raises:
        ModelError: The program is not there or not the right one.
    """
    assert card.segment_size is not None
    assert card.input_size is not None
    path, digest = program_path(folder, card)
    cache = EngineCache(cache_folder() / ENGINES, TorchTensorrt(), path, digest, card.name)
    places = [output.name for output in card.io.outputs]
    shape = (card.segment_size, card.input_size)
    return ProgramRunner(cache, shape, [places.index(name) for name in names])
