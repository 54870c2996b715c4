"""Torch operators in ONNX forms that ONNX Runtime runs faster than those of torch's exporter.

All are standard operators, so any runtime takes the files; but ONNX Runtime recognises these forms:
it runs the first as one kernel, and the second without copies of the keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from onnxscript import opset18 as op

# The exporter reads names and annotations of parameters: they are those of torch's operators.


def gelu(self: Any, approximate: str = "none") -> Any:
    """GELU as `x (1 + erf(x / sqrt 2)) / 2`, with the half at the end; any shape."""
    assert approximate == "none"
    erf = op.Erf(op.Div(self, op.CastLike(op.Constant(value_float=math.sqrt(2.0)), self)))
    one, half = (op.CastLike(op.Constant(value_float=value), self) for value in (1.0, 0.5))
    return op.Mul(op.Mul(self, op.Add(erf, one)), half)


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention over arrays (batch, heads, tokens, width), without a mask or other options.

    The keys are transposed once.
    """
    assert (attn_mask, dropout_p, is_causal, scale, enable_gqa) == (None, 0.0, False, None, False)
    width = query.shape[-1]
    scaled = op.Mul(query, op.CastLike(op.Constant(value_float=1 / math.sqrt(width)), query))
    return op.MatMul(
        op.Softmax(op.MatMul(scaled, op.Transpose(key, perm=[0, 1, 3, 2])), axis=-1), value
    )


FORMS: Final[Mapping[Callable[..., Any], Callable[..., Any]]] = {
    torch.ops.aten.gelu.default: gelu,
    torch.ops.aten.scaled_dot_product_attention.default: scaled_dot_product_attention,
}
"""Functions that write operators, in the form of `torch.onnx.export`."""
