"""The models that TensorFlow Serving's own tests serve, written node by node: y = x / 2 + 2."""

from pathlib import Path

import numpy as np

from ..saved_models import FLOAT, STRING, Graph

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
PREDICT = "tensorflow/serving/predict"

INT64 = 9


def half_plus(folder: Path, added: float, factor: float = 0.5) -> Path:
    """Write a version with signatures to predict, to classify and to regress by."""
    g = Graph()
    x = g.node("Placeholder", name="x", dtype=FLOAT, shape=None)
    y = line(g, x, factor, added)
    records = g.node("Placeholder", name="tf_example", dtype=STRING, shape=None)
    parsed = parse_float(g, records, "x")
    scores = line(g, parsed, factor, added)
    plus_three = line(g, parsed, factor, 3.0)
    g.sign_as("serving_default", PREDICT, {"x": x}, {"y": y})
    g.sign_as("classify_x_to_y", CLASSIFY, {"inputs": records}, {"scores": scores})
    g.sign_as("regress_x_to_y", REGRESS, {"inputs": records}, {"outputs": scores})
    g.sign_as("regress_x_to_y2", REGRESS, {"inputs": records}, {"outputs": plus_three})
    g.sign_as("regress_x2_to_y3", REGRESS, {"inputs": parsed}, {"outputs": plus_three})
    return g.write(folder)


def counter(folder: Path) -> Path:
    """Write a version that counts in a reference-typed variable; three signatures take nothing."""
    g = Graph()
    variable = g.node("VariableV2", name="counter", shape=())
    attr = g.nodes[-1].attr
    attr["dtype"].type = attr["T"].type
    del attr["T"]
    delta = g.node("Placeholder", name="delta", dtype=FLOAT, shape=None)
    zero, one = (g.const(np.array(value, np.float32)) for value in (0.0, 1.0))
    g.sign_as("get_counter", PREDICT, {}, {"output": variable})
    g.sign_as("reset_counter", PREDICT, {}, {"output": g.node("Assign", variable, zero)})
    g.sign_as("incr_counter", PREDICT, {}, {"output": g.node("AssignAdd", variable, one)})
    by = g.node("AssignAdd", variable, delta)
    g.sign_as("incr_counter_by", PREDICT, {"delta": delta}, {"output": by})
    return g.write(folder)


def waiting(folder: Path) -> Path:
    """Write a version that waits for an element of a queue into which nobody puts any."""
    g = Graph()
    queue = g.node("FIFOQueueV2")
    attr = g.nodes[-1].attr
    del attr["T"]
    attr["component_types"].list.type.append(FLOAT)
    attr["shapes"].list.shape.add()
    taken = g.node("QueueDequeueManyV2", queue, g.const(np.array(1, np.int32)))
    attr = g.nodes[-1].attr
    del attr["T"]
    attr["component_types"].list.type.append(FLOAT)
    g.sign_as("serving_default", PREDICT, {}, {"y": taken})
    return g.write(folder)


def line(g: Graph, x: str, factor: float, added: float) -> str:
    """Multiply and add."""
    half = g.node("Mul", x, g.const(np.array(factor, np.float32)))
    return g.node("AddV2", half, g.const(np.array(added, np.float32)))


def parse_float(g: Graph, records: str, key: str) -> str:
    """Read one float of every ``tf.Example``: [batch, 1]."""
    empty = g.strings((0,), [])
    node = g.node(
        "ParseExample",
        records,
        empty,
        g.strings((), [key.encode()]),
        g.const(np.zeros((1,), np.float32)),
    )
    attr = g.meta.graph_def.node[-1].attr
    del attr["T"]
    attr["Ndense"].i = 1
    attr["Nsparse"].i = 0
    attr["Tdense"].list.type.append(FLOAT)
    attr["sparse_types"].list.SetInParent()
    attr["dense_shapes"].list.shape.add().dim.add(size=1)
    return node
