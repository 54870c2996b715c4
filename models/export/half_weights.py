"""Storing the weights of an ONNX file in float16, while it computes in float32.

ONNX Runtime widens them when it loads the file, so a CPU, which is slow in half precision, runs it
as fast as the original file. Only the weights are rounded, to three digits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST_SIZE: Final = 1024
"""Number of values below which an array stays as it is: there is nothing to save, and scales of a
norm may be out of range."""


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the large weights of a model, which are float32, in float16.

    They are cast back when the model is run. Changes `model` and returns it.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST_SIZE:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=TensorProto.FLOAT)
        )
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    return model
