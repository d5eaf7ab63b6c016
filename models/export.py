"""A trained version as files: SavedModel, warm-up requests, weights, manifest.

Written beside the version's folder and renamed at the end, so that a model server never sees half
of it. Classify follows TensorFlow Serving: it takes serialized
``tf.Example`` records whose feature "features" holds the F tick features, under no context at all.
"""

import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from relentless.models.manifest import EXTRA, GOLDEN, MANIFEST, WEIGHTS, Manifest, digests
from relentless.models.tensorflow_door import tensorflow
from relentless.models.weights import (
    EMBEDDING,
    HEAD_NAMES,
    HIDDEN,
    Array,
    Weights,
    save_arrays,
    save_weights,
)

WARMUP = Path(EXTRA) / "tf_serving_warmup_requests"
CLASSES = ("down", "up")
WARMUP_ROWS = (1, 32)
GOLDEN_ROWS, GOLDEN_SEED = 16, 20131007


def export(weights: Weights, manifest: Manifest, repository: Path) -> Path:
    """Write a version; give its folder. A folder of that version that was there is replaced.

    ``manifest.files`` is filled in here.
    """
    model = repository / manifest.name
    final = model / str(manifest.version)
    draft = model / f".tmp-{manifest.version}"
    shutil.rmtree(draft, ignore_errors=True)
    model.mkdir(parents=True, exist_ok=True)
    _write_graph(weights, draft)
    (draft / EXTRA).mkdir()
    save_weights(draft / WEIGHTS, weights)
    save_arrays(draft / GOLDEN, golden(weights))
    (draft / WARMUP).write_bytes(b"".join(map(framed, warmup_records(manifest))))
    filled = manifest.model_copy(update={"files": digests(draft)})
    (draft / MANIFEST).write_text(filled.model_dump_json(indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    os.rename(draft, final)
    return final


def golden(weights: Weights) -> dict[str, Array]:
    """Give probes, always the same, and the heads that numpy says for them."""
    rng = np.random.default_rng(GOLDEN_SEED)
    half = weights.encoder_kernel.shape[0] // 2
    features = rng.standard_normal((GOLDEN_ROWS, weights.w1_features.shape[0]), np.float32)
    known = (rng.random(half) < 0.5).astype(np.float32)
    context = np.concatenate([rng.standard_normal(half, np.float32) * known, known])
    heads = weights.predict(features, context)
    return {"features": features, "context_vector": context, "heads": heads}


def _write_graph(weights: Weights, folder: Path) -> None:
    """Write variables, graph and signatures.

    The module holds bare variables: a module that holds Keras layers loads in Python and not in
    TensorFlow Serving's C++ loader.
    """
    tf = tensorflow().tf
    module = tf.Module()
    for name, array in weights._asdict().items():
        setattr(module, name, tf.Variable(array, trainable=False, name=name))
    functions = _functions(tf, module, weights.encoder_kernel.shape[0])

    def floats(width: int, name: str) -> Any:
        return tf.TensorSpec([None, width], tf.float32, name=name)

    features = floats(weights.w1_features.shape[0], "features")
    inputs = {
        "serving_default": (features, floats(EMBEDDING, "context")),
        "encode_context": (floats(weights.encoder_kernel.shape[0], "context_vector"),),
        "fold_context": (floats(EMBEDDING, "embedding"),),
        "predict_folded": (features, floats(HIDDEN, "bias")),
        "classify": (tf.TensorSpec([None], tf.string, name="inputs"),),
    }
    signatures = {
        name: tf.function(functions[name], input_signature=inputs[name]).get_concrete_function()
        for name in inputs
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)
    # A random number in it; without the file the same weights are the same folder, byte for byte.
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _functions(tf: Any, m: Any, context: int) -> dict[str, Callable[..., dict[str, Any]]]:
    """Give the functions of the five signatures over a module's variables."""

    def predict_folded(features: Any, bias: Any) -> dict[str, Any]:
        hidden = tf.nn.relu(tf.matmul(features, m.w1_features) + bias)
        deep = tf.nn.relu(tf.matmul(hidden, m.w2) + m.b2)
        sums = tf.matmul(deep, m.w3) + m.b3
        activations = (tf.sigmoid, tf.identity, tf.nn.softplus, tf.sigmoid)
        return {
            name: activation(sums[:, column])
            for column, (name, activation) in enumerate(zip(HEAD_NAMES, activations, strict=True))
        }

    def encode_context(context_vector: Any) -> dict[str, Any]:
        return {"embedding": tf.tanh(tf.matmul(context_vector, m.encoder_kernel) + m.encoder_bias)}

    def fold_context(embedding: Any) -> dict[str, Any]:
        return {"bias": tf.matmul(embedding, m.w1_context) + m.b1}

    def serving_default(features: Any, context: Any) -> dict[str, Any]:
        return predict_folded(features, fold_context(context)["bias"])

    def classify(inputs: Any) -> dict[str, Any]:
        shape = tf.io.FixedLenFeature([m.w1_features.shape[0]], tf.float32)
        features = tf.io.parse_example(inputs, {"features": shape})["features"]
        unknown = encode_context(tf.zeros((1, context)))["embedding"]
        up = predict_folded(features, fold_context(unknown)["bias"])["p_up"][:, tf.newaxis]
        classes = tf.tile(tf.constant([CLASSES]), (tf.shape(up)[0], 1))
        return {"classes": classes, "scores": tf.concat([1.0 - up, up], axis=1)}

    named = (serving_default, encode_context, fold_context, predict_folded, classify)
    return {function.__name__: function for function in named}


def framed(record: bytes) -> bytes:
    """Frame one record of a TFRecord file: length, its checksum, the bytes, their checksum."""
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", _masked(length)) + record + struct.pack("<I", _masked(record))


def _masked(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def warmup_records(manifest: Manifest) -> Iterable[bytes]:
    """Give serialized ``PredictionLog`` requests of every numeric signature and batch size."""
    rng = np.random.default_rng(manifest.version)

    def normal(rows: int, width: int) -> Array:
        return rng.standard_normal((rows, width)).astype(np.float32)

    yield _log(manifest, "encode_context", context_vector=normal(1, manifest.shapes.context))
    yield _log(manifest, "fold_context", embedding=normal(1, EMBEDDING))
    for rows in WARMUP_ROWS:
        # Every input has as many rows: a server that batches refuses anything else.
        features = normal(rows, manifest.shapes.features)
        yield _log(manifest, "predict_folded", features=features, bias=normal(rows, HIDDEN))
        yield _log(manifest, "serving_default", features=features, context=normal(rows, EMBEDDING))


def _log(manifest: Manifest, signature: str, **inputs: Array) -> bytes:
    tf = tensorflow().tf
    # TensorFlow is here already, so its own import by these modules costs nothing.
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = manifest.name
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    # Map fields are written in no fixed order otherwise.
    return bytes(log.SerializeToString(deterministic=True))


def weights_digest(folder: Path) -> str:
    """Give the SHA-256, in hex, of a version's weights file."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
