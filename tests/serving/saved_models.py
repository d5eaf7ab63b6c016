"""SavedModels written node by node, without TensorFlow: the network of ``models.weights``.

A version's folder looks as training leaves it: the graph, the weights, warm-up requests, the
manifest and pinned answers. ``spoil`` functions make the bad versions that must never serve.
"""

import itertools
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.feature_spec import TICK_FEATURES, feature_digest
from relentless.models.manifest import GOLDEN, MANIFEST, WEIGHTS, Manifest, Shapes, digests
from relentless.models.weights import (
    DEEP,
    EMBEDDING,
    HEAD_NAMES,
    HIDDEN,
    Weights,
    save_weights,
    shapes,
)
from relentless.serving.model_server.lifecycle.warmup import WARMUP_FILE, masked_crc
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_protos import prediction_log_pb2, saved_model_pb2

MODEL = "relentless_financial"
F, C = len(TICK_FEATURES), len(CONTEXT_VECTOR)

FLOAT, STRING = 1, 7


def random_weights(seed: int) -> Weights:
    """Weights whose answers stay within the heads' usual range."""
    rng = np.random.default_rng(seed)
    return Weights(
        **{
            name: (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
            for name, shape in shapes(C, F).items()
        }
    )


def constant_weights(p_up: float) -> Weights:
    """Weights whose ``p_up`` is the same whatever comes in: it tells versions apart."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes(C, F).items()}
    arrays["b3"][0] = np.log(p_up / (1 - p_up))
    return Weights(**arrays)


class Graph:
    """A GraphDef and its signatures, node by node."""

    def __init__(self) -> None:
        self.saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        self.meta = self.saved.meta_graphs.add()
        self.meta.meta_info_def.tags.append("serve")
        self.meta.graph_def.versions.producer = 1087
        self._names = itertools.count()

    def node(self, op: str, *inputs: str, name: str = "", dtype: int = FLOAT, **attrs: Any) -> str:
        node = self.meta.graph_def.node.add(name=name or f"n{next(self._names)}", op=op)
        node.input.extend(inputs)
        node.attr["dtype" if op in ("Const", "Placeholder") else "T"].type = dtype
        for key, value in attrs.items():
            if key == "value":
                node.attr[key].tensor.CopyFrom(pack(value))
            elif key == "shape" and value is None:
                node.attr[key].shape.unknown_rank = True
            elif key == "shape":
                node.attr[key].shape.SetInParent()
                for size in value:
                    node.attr[key].shape.dim.add(size=size)
            elif key == "squeeze_dims":
                node.attr[key].list.i.extend(value)
            else:
                node.attr[key].type = value
        return node.name

    def const(self, array: np.ndarray[Any, Any]) -> str:
        value = RawTensor.of(array)
        return self.node("Const", value=value, dtype=value.dtype)

    def strings(self, shape: tuple[int, ...], values: list[bytes]) -> str:
        return self.node("Const", value=RawTensor(STRING, shape, values), dtype=STRING)

    def input(self, name: str, width: int, dtype: int = FLOAT) -> str:
        return self.node("Placeholder", name=name, dtype=dtype, shape=(-1, width))

    def dense(self, x: str, kernel: np.ndarray[Any, Any], bias: str) -> str:
        return self.node("AddV2", self.node("MatMul", x, self.const(kernel)), bias)

    def sign(self, name: str, inputs: dict[str, tuple[str, int]], outputs: dict[str, str]) -> None:
        signature = self.meta.signature_def[name]
        signature.method_name = "tensorflow/serving/predict"
        for alias, (node, width) in inputs.items():
            info = signature.inputs[alias]
            info.name, info.dtype = f"{node}:0", FLOAT
            info.tensor_shape.dim.add(size=-1)
            info.tensor_shape.dim.add(size=width)
        for alias, node in outputs.items():
            info = signature.outputs[alias]
            info.name, info.dtype = f"{node}:0", STRING if alias == "classes" else FLOAT

    def sign_as(
        self, name: str, method: str, inputs: dict[str, str], outputs: dict[str, str]
    ) -> Any:
        """Sign by node names; types come from the nodes, shapes stay unknown."""
        signature = self.meta.signature_def[name]
        signature.method_name = method
        types = {n.name: n.attr["dtype" if "dtype" in n.attr else "T"].type for n in self.nodes}
        for side, tensors in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for alias, node in tensors.items():
                info = side[alias]
                info.name, info.dtype = f"{node}:0", types[node] or FLOAT
                info.tensor_shape.unknown_rank = True
        return signature

    @property
    def nodes(self) -> Any:
        """The nodes so far."""
        return self.meta.graph_def.node

    def write(self, folder: Path) -> Path:
        """Write the SavedModel; it appears in one step."""
        made = folder.with_name(f".tmp-{folder.name}")
        made.mkdir(parents=True)
        (made / "saved_model.pb").write_bytes(self.saved.SerializeToString())
        return made.rename(folder)

    def heads(self, w: Weights, hidden: str) -> dict[str, str]:
        deep = self.node("Relu", self.dense(hidden, w.w2, self.const(w.b2)))
        outputs = {}
        for column, (name, op) in enumerate(
            zip(HEAD_NAMES, ("Sigmoid", "Identity", "Softplus", "Sigmoid"), strict=True)
        ):
            sums = self.dense(
                deep, w.w3[:, column : column + 1], self.const(w.b3[column : column + 1])
            )
            outputs[name] = self.node("Squeeze", self.node(op, sums), squeeze_dims=[1])
        return outputs


def write_graph(folder: Path, w: Weights, leave_out: tuple[str, ...] = ()) -> None:
    """Write ``saved_model.pb`` with the five signatures."""
    g = Graph()
    x, context = g.input("features", F), g.input("context_vector", C)
    embedding, bias = g.input("embedding", EMBEDDING), g.input("bias", HIDDEN)
    inputs = g.input("inputs", F)
    w1, b1 = g.const(w.w1_features), g.const(w.b1)
    encoded = g.node("Tanh", g.dense(context, w.encoder_kernel, g.const(w.encoder_bias)))
    folded = g.node("AddV2", g.node("MatMul", embedding, g.const(w.w1_context)), b1)

    def hidden(features: str, added: str) -> str:
        return g.node("Relu", g.node("AddV2", g.node("MatMul", features, w1), added))

    heads = g.heads(w, hidden(x, bias))
    full = g.heads(w, hidden(x, folded))
    alone = g.heads(w, hidden(inputs, b1))
    up = g.node("ExpandDims", alone["p_up"], g.const(np.array(1, "<i4")), Tdim=3)
    down = g.node("Sub", g.const(np.ones((1, 1), np.float32)), up)
    scores = g.node("Concat", g.const(np.array(1, "<i4")), down, up)
    g.meta.graph_def.node[-1].attr["N"].i = 2
    classes = g.strings((1, 2), [b"down", b"up"])
    g.sign("encode_context", {"context_vector": (context, C)}, {"embedding": encoded})
    g.sign("fold_context", {"embedding": (embedding, EMBEDDING)}, {"bias": folded})
    g.sign("predict_folded", {"features": (x, F), "bias": (bias, HIDDEN)}, heads)
    g.sign("serving_default", {"features": (x, F), "context": (embedding, EMBEDDING)}, full)
    g.sign("classify", {"inputs": (inputs, F)}, {"classes": classes, "scores": scores})
    for name in leave_out:
        del g.meta.signature_def[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(g.saved.SerializeToString())


def write_warmup(folder: Path, rows: tuple[int, ...] = (1, 8)) -> None:
    """Write warm-up requests for ``predict_folded``."""
    logs = []
    for n in rows:
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.name = MODEL
        request.model_spec.signature_name = "predict_folded"
        for alias, shape in (("features", (n, F)), ("bias", (n, HIDDEN))):
            tensor = RawTensor.of(np.full(shape, 0.5, np.float32))
            request.inputs[alias].CopyFrom(pack(tensor))
        logs.append(log)
    write_records(folder, logs)


def write_records(folder: Path, logs: list[Any]) -> None:
    """Write warm-up requests: a TFRecord file of ``PredictionLog`` messages."""
    out = bytearray()
    for log in logs:
        body = log.SerializeToString()
        head = struct.pack("<Q", len(body))
        out += (
            head + struct.pack("<I", masked_crc(head)) + body + struct.pack("<I", masked_crc(body))
        )
    path = folder / WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(out))


def write_manifest(folder: Path, version: int, **changes: Any) -> None:
    """Write a manifest over the files that the folder holds now."""
    fields: dict[str, Any] = {
        "name": MODEL,
        "version": version,
        "feature_digest": feature_digest(),
        "tick_features": TICK_FEATURES,
        "context_vector": CONTEXT_VECTOR,
        "shapes": Shapes(features=F, context=C, embedding=EMBEDDING, hidden=HIDDEN, deep=DEEP),
        "heads": dict.fromkeys(HEAD_NAMES, "a head"),
        "horizon": 5,
        "unused_features": (),
        "unused_context": (),
        "training": {},
        "metrics": {},
        "libraries": {},
        "files": digests(folder),
    }
    manifest = Manifest.model_validate(fields | changes)
    text = json.dumps(manifest.model_dump(mode="json"), indent=1)
    (folder / MANIFEST).write_text(text)


def write_version(base: Path, version: int, w: Weights, leave_out: tuple[str, ...] = ()) -> Path:
    """Write a whole version; it appears under its number in one step."""
    folder = base / f".tmp-{version}"
    write_graph(folder, w, leave_out)
    write_warmup(folder)
    save_weights(folder / WEIGHTS, w)
    rng = np.random.default_rng(version)
    features = rng.normal(size=(5, F)).astype(np.float32)
    context = rng.normal(size=C).astype(np.float32)
    np.savez(
        folder / GOLDEN,
        features=features,
        context_vector=context,
        heads=w.predict(features, context),
    )
    write_manifest(folder, version)
    final = base / str(version)
    folder.rename(final)
    return final
