"""A model for the REST tests that gives back what it gets: a signature for each type."""

from pathlib import Path
from typing import Any

import numpy as np

from relentless.serving.tensor_proto import FIELDS
from relentless.serving.tf_protos import tensor_pb2

from ..saved_models import FLOAT, STRING, Graph

DTYPES = {
    "float": 1, "double": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7,
    "int64": 9, "bool": 10, "uint32": 22, "uint64": 23, "half": 19, "uint16": 17,
}  # fmt: skip
"""The types that ``echo`` has a signature for, by TensorFlow's names."""


def echo(folder: Path) -> Path:
    """Write it, with some signatures of several tensors beside."""
    g = Graph()
    nodes = {}
    for name, dtype in DTYPES.items():
        given = g.meta.graph_def.node.add(name=f"in_{name}", op="Placeholder")
        given.attr["dtype"].type = dtype
        given.attr["shape"].shape.unknown_rank = True
        nodes[name] = given.name, g.node("Identity", given.name, name=f"out_{name}", dtype=dtype)
        _sign(g, name, {"value": (nodes[name][0], dtype)}, {"value": (nodes[name][1], dtype)})
    text, number, flag = nodes["string"], nodes["float"], nodes["bool"]
    seven = g.const(np.ones(7, np.float32))
    for name, given, back in (
        ("named", {"text": (text[0], STRING), "number": (number[0], FLOAT)},
         {"text": (text[1], STRING), "number": (number[1], FLOAT)}),
        ("binary", {"image_bytes": (text[0], STRING)}, {"image_bytes": (text[1], STRING)}),
        ("no_inputs", {}, {"constant": (seven, FLOAT)}),
        ("uneven", {"value": (number[0], FLOAT)},
         {"value": (number[1], FLOAT), "seven": (seven, FLOAT)}),
        ("serving_default", {"flag": (flag[0], 10)}, {"flag": (flag[1], 10)}),
    ):  # fmt: skip
        _sign(g, name, given, back)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(g.saved.SerializeToString())
    return folder


def _sign(
    graph: Graph, name: str, given: dict[str, tuple[str, int]], back: dict[str, tuple[str, int]]
) -> None:
    signature = graph.meta.signature_def[name]
    signature.method_name = "tensorflow/serving/predict"
    for side, tensors in ((signature.inputs, given), (signature.outputs, back)):
        for alias, (node, dtype) in tensors.items():
            side[alias].name, side[alias].dtype = f"{node}:0", dtype
            side[alias].tensor_shape.unknown_rank = True


def proto(values: list[Any], shape: tuple[int, ...], dtype: int) -> Any:
    """Give a TensorProto of typed fields."""
    made = tensor_pb2.TensorProto(dtype=dtype)
    made.tensor_shape.SetInParent()
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    getattr(made, "string_val" if dtype == STRING else FIELDS.get(dtype, "int_val")).extend(values)
    return made
