"""An ONNX graph that grows node by node. Only the process that exports imports this: `onnx` is no small library."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
ML = "ai.onnx.ml"
ROWS = "N"
TYPES: Mapping[str, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "str": TensorProto.STRING,
}


class Graph:
    """Nodes, constants, inputs and outputs. The same calls always give the same bytes.

    Args:
        dtype: In what the network computes: `float32` or `float64`.
        taken: Names that are the columns'; no other tensor is called so.
    """

    def __init__(self, dtype: str, taken: Collection[str]) -> None:
        self.dtype = dtype
        self._taken = set(taken)
        self._used: Counter[str] = Counter()
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._numbers: dict[float, str] = {}

    def free_name(self, name: str) -> str:
        """Give a name that nothing has yet, this one if it is free, and take it."""
        free = name
        while free in self._taken:
            self._used[name] += 1
            free = f"{name}_{self._used[name]}"
        self._taken.add(free)
        return free

    def input(self, name: str, kind: str) -> str:
        """Add a column, `[N, 1]`, under its own name."""
        self._inputs.append(helper.make_tensor_value_info(name, TYPES[kind], [ROWS, 1]))
        return name

    def constant(self, array: NDArray[Any], name: str = "constant") -> str:
        """Add an array."""
        name = self.free_name(name)
        if array.dtype.kind in "UO":
            texts = [str(text).encode() for text in array.reshape(-1).tolist()]
            strings = TensorProto(name=name, data_type=TensorProto.STRING, dims=array.shape, string_data=texts)
            self._constants.append(strings)
        else:
            self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        """Add a number in the network's dtype, once."""
        if value not in self._numbers:
            self._numbers[value] = self.constant(np.array(value, self.dtype), "number")
        return self._numbers[value]

    def add(self, operator: str, *inputs: str, name: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node; give the name of its result."""
        result = name or self.free_name(operator.lower())
        label = f"node_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [result], label, domain=domain, **attributes))
        return result

    def output(self, name: str, result: str, kind: str, shape: Sequence[int | str]) -> str:
        """Make a result an output under this name, or one like it if a column has that name."""
        name = self.free_name(name)
        self.add("Identity", result, name=name)
        self._outputs.append(helper.make_tensor_value_info(name, TYPES[kind], list(shape)))
        return name

    def model(self, metadata: Mapping[str, str]) -> ModelProto:
        """Give all of it."""
        graph = helper.make_graph(self._nodes, "model", self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="descent")
        helper.set_model_props(model, dict(metadata))
        return model
