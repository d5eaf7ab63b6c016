"""SavedModels for the REST tests: half plus two by three APIs, and one that echoes its inputs."""

from pathlib import Path
from typing import Any

import numpy as np

from relentless.serving.tensor_proto import FIELDS, STRING
from relentless.serving.tf_protos import tensor_pb2

from .saved_models import FLOAT, Graph

DTYPES = {
    "float": 1, "double": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7,
    "int64": 9, "bool": 10, "uint32": 22, "uint64": 23, "half": 19, "uint16": 17,
}  # fmt: skip
"""The types that ``echo`` has a signature for, by TensorFlow's names."""


def sign(
    graph: Graph, name: str, inputs: dict[str, tuple[str, int]], outputs: dict[str, tuple[str, int]]
) -> None:
    """Add a signature of tensors of any shape: alias to (node, type)."""
    signature = graph.meta.signature_def[name]
    signature.method_name = "tensorflow/serving/predict"
    for side, tensors in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for alias, (node, dtype) in tensors.items():
            side[alias].name, side[alias].dtype = f"{node}:0", dtype
            side[alias].tensor_shape.unknown_rank = True


def placeholder(graph: Graph, name: str, dtype: int) -> str:
    node = graph.meta.graph_def.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype
    node.attr["shape"].shape.unknown_rank = True
    return name


def identity(graph: Graph, name: str, of: str, dtype: int) -> str:
    return graph.node("Identity", of, name=name, dtype=dtype)


def parse_example(graph: Graph, serialized: str, key: bytes) -> str:
    """Read one float feature of ``tf.Example`` records as a column."""
    default = graph.const(np.zeros(1, np.float32))
    names = graph.strings((0,), [])
    node = graph.meta.graph_def.node.add(name=f"parse_{key.decode()}", op="ParseExample")
    node.input.extend([serialized, names, graph.strings((), [key]), default])
    node.attr["Nsparse"].i, node.attr["Ndense"].i = 0, 1
    node.attr["sparse_types"].list.SetInParent()
    node.attr["Tdense"].list.type.append(FLOAT)
    node.attr["dense_shapes"].list.shape.add().dim.add(size=1)
    return node.name


def write(graph: Graph, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph.saved.SerializeToString())
    return folder


def half_plus_two(folder: Path, offset: float = 2.0) -> Path:
    """Write y = x / 2 + offset, by Predict, Classify and Regress."""
    g = Graph()
    half, plus = (g.const(np.full((), value, np.float32)) for value in (0.5, offset))
    x = placeholder(g, "x", FLOAT)
    y = g.node("AddV2", g.node("Mul", x, half), plus, name="y")
    records = placeholder(g, "records", STRING)
    parsed = parse_example(g, records, b"x")
    scores = g.node("AddV2", g.node("Mul", parsed, half), plus, name="scores")
    sign(g, "serving_default", {"x": (x, FLOAT)}, {"y": (y, FLOAT)})
    sign(g, "classify_x_to_y", {"inputs": (records, STRING)}, {"scores": (scores, FLOAT)})
    sign(g, "regress_x_to_y", {"inputs": (records, STRING)}, {"outputs": (scores, FLOAT)})
    return write(g, folder)


def echo(folder: Path) -> Path:
    """Write a model that gives its inputs back: a signature for each type, and some of several."""
    g = Graph()
    nodes = {}
    for name, dtype in DTYPES.items():
        node = placeholder(g, f"in_{name}", dtype)
        nodes[name] = (node, identity(g, f"out_{name}", node, dtype), dtype)
        sign(g, name, {"value": (node, dtype)}, {"value": (nodes[name][1], dtype)})
    text, number, flag = nodes["string"], nodes["float"], nodes["bool"]
    sign(
        g, "named",
        {"text": (text[0], STRING), "number": (number[0], FLOAT)},
        {"text": (text[1], STRING), "number": (number[1], FLOAT)},
    )  # fmt: skip
    sign(
        g, "binary",
        {"image_bytes": (text[0], STRING)},
        {"image_bytes": (text[1], STRING)},
    )  # fmt: skip
    sign(g, "no_inputs", {}, {"constant": (g.const(np.ones(2, np.float32)), FLOAT)})
    sign(
        g, "uneven",
        {"value": (number[0], FLOAT)},
        {"value": (number[1], FLOAT), "fixed": (g.const(np.ones(7, np.float32)), FLOAT)},
    )  # fmt: skip
    sign(g, "serving_default", {"flag": (flag[0], 10)}, {"flag": (flag[1], 10)})
    return write(g, folder)


def tensor(array: np.ndarray[Any, Any], dtype: int) -> Any:
    """Give a TensorProto of typed fields, written one by one."""
    proto = tensor_pb2.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    values = array.ravel().tolist()
    getattr(proto, "string_val" if dtype == STRING else FIELDS[dtype]).extend(values)
    return proto
