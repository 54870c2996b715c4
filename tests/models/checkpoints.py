"""Published weights as arrays, and what ONNX graphs made from them compute."""

import zipfile
from pathlib import Path

import numpy as np
import onnxruntime

from auricle.models.convert.tensor_bundle import TensorBundle

Arrays = dict[str, np.ndarray]


def checkpoint(wheel: Path, name: str) -> Arrays:
    """All arrays of one of the wheel's checkpoints, the optimizer's too."""
    with zipfile.ZipFile(wheel) as archive:
        parts = [
            archive.read(f"musicnn/{name}/{file}") for file in (".index", ".data-00000-of-00001")
        ]
    bundle = TensorBundle(parts[0], parts[1:], name)
    return {tensor: bundle.read(tensor) for tensor in bundle.names()}


def run_onnx(model: bytes, mel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations and embeddings of mel (batch, 187, 96)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return tuple(session.run(["activations", "embeddings"], {"mel": mel}))
