"""Writing ONNX graphs by hand: what `onnx.helper` leaves to the caller, in one place.

Opset 17 and IR version 8 (2022) hold all that convolutional taggers need, and every ONNX Runtime
since 1.12 runs them; newer numbers would only shut out older runtimes.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

OPSET: Final = 17
IR_VERSION: Final = 8


class OnnxGraph:
    """A graph under construction. Tensors are called by name; node outputs get generated names.

    Args:
        name: name of the graph, shown by viewers.
    """

    def __init__(self, name: str) -> None:
        # Imported here: onnx takes a tenth of a second to import, and only conversion needs it.
        from onnx import helper, numpy_helper

        self._helper = helper
        self._numpy_helper = numpy_helper
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, *shape: int | str) -> str:
        """Declare a float32 input; a string in the shape names a free dimension."""
        self._inputs.append(self._helper.make_tensor_value_info(name, 1, list(shape)))
        return name

    def output(self, tensor: str, name: str, *shape: int | str) -> None:
        """Make `tensor` an output called `name`."""
        self.op("Identity", tensor, output=name)
        self._outputs.append(self._helper.make_tensor_value_info(name, 1, list(shape)))

    def constant(self, value: NDArray[Any], name: str) -> str:
        """Store an array; floats of any width become float32."""
        kind = np.float32 if np.issubdtype(value.dtype, np.floating) else np.int64
        self._constants.append(
            self._numpy_helper.from_array(np.ascontiguousarray(value, kind), name)
        )
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        """Append a node with one output and return that output's name."""
        output = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._helper.make_node(kind, list(inputs), [output], output, **attributes)
        )
        return output

    def serialize(self, metadata: Mapping[str, str]) -> bytes:
        """The checked model file. `metadata` goes into it for tools that see the file without its
        card.
        """
        from onnx import checker

        graph = self._helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, self._constants
        )
        opset = self._helper.make_opsetid("", OPSET)
        model = self._helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="auricle"
        )
        self._helper.set_model_props(model, dict(metadata))
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
