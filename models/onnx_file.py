"""Reading ONNX files that others wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auricle.errors import ModelError, one_line


def load_onnx(path: Path) -> Any:
    """The content of an ONNX file, an `onnx.ModelProto` whose names can all be read.

    Args:
        path: Path of the file.

    Raises:
        ModelError: The file cannot be read, is not ONNX, or has names that are not UTF-8.
    """
    import onnx  # takes a tenth of a second, and is needed only where a session is opened

    try:
        model = onnx.load(path)
        _check_names(model.graph)
    except Exception as error:  # protobuf's own errors have no common base but this
        why = f"not an ONNX file, or damaged: {one_line(error)}"
        raise ModelError(f"{path} cannot be loaded: {why}") from error
    return model


def _check_names(graph: Any) -> None:
    """Refuse names that are not text: protobuf gives them as bytes, or fails when they are read."""
    names = [each.name for each in (*graph.input, *graph.output, *graph.initializer)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the name {name!r} is not UTF-8")
