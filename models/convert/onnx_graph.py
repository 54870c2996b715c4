"""Writing ONNX graphs by hand, on top of `onnx.helper`.

Opset 17 and IR version 8 (2022) have everything that convolutional taggers need, and every ONNX
Runtime since 1.12 runs them; newer versions would only exclude older runtimes.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

OPSET: Final = 17
IR_VERSION: Final = 8


class OnnxGraph:
    """A graph under construction. Tensors are known by name; node outputs get generated names.

    Args:
        name: Name of the graph, shown by viewers.
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
        """Declare a float32 input, and return its name; a string in the shape is a free axis."""
        self._inputs.append(self._helper.make_tensor_value_info(name, 1, list(shape)))
        return name

    def output(self, tensor: str, name: str, *shape: int | str) -> None:
        """Make a float32 tensor an output.

        Args:
            tensor: Name of the tensor.
            name: Name of the output.
            shape: Shape of the tensor; a string names a free axis.
        """
        self.op("Identity", tensor, output=name)
        self._outputs.append(self._helper.make_tensor_value_info(name, 1, list(shape)))

    def constant(self, value: NDArray[Any], name: str) -> str:
        """Store an array, and return its name; floats become float32, integers int64."""
        kind = np.float32 if np.issubdtype(value.dtype, np.floating) else np.int64
        self._constants.append(
            self._numpy_helper.from_array(np.ascontiguousarray(value, kind), name)
        )
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        """Append a node with one output.

        Args:
            kind: Name of the operator.
            inputs: Names of the input tensors.
            output: Name of the output; generated, if left out.
            attributes: Attributes of the node.

        Returns:
            The name of the output.
        """
        output = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._helper.make_node(kind, list(inputs), [output], output, **attributes)
        )
        return output

    def serialize(self, metadata: Mapping[str, str]) -> bytes:
        """The bytes of the model file, checked.

        Args:
            metadata: Strings for tools that see the file without its card, by key.
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
