"""Writes SavedModels with TensorFlow and Keras, and what TensorFlow's own session answers to each.

A program of its own (``python zoo.py FOLDER``), because it imports TensorFlow. It leaves
``NAME.json`` too: questions as serialized tensors, and the answers or the error's code.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
Questions = list[tuple[str, dict[str, Any]]]
X = np.array([[1, 2], [3, 4.5]], np.float32)
RNG = np.random.default_rng(1)


def spec(*shape: int | None, dtype: Any = tf.float32, name: str = "x") -> Any:
    return tf.TensorSpec(shape, dtype, name)


def strings(*values: bytes) -> np.ndarray[Any, Any]:
    return np.array(values, object)


def one(name: str, specs: list[Any], body: Callable[..., Any], *asked: dict[str, Any]) -> Any:
    """Give a model of one ``tf.function``."""

    def write(folder: str) -> None:
        module = tf.Module()
        module.f = tf.function(body, input_signature=specs)
        tf.saved_model.save(module, folder, signatures={"serving_default": module.f})

    return name, write, [("serving_default", inputs) for inputs in asked]


def of_version_1(references: bool) -> Any:
    def write(folder: str) -> None:
        with v1.Graph().as_default(), v1.Session() as session:
            a = v1.get_variable("a", initializer=0.5, use_resource=not references)
            parts = v1.fixed_size_partitioner(2)
            shards = v1.get_variable("s", [4, 2], partitioner=parts, use_resource=not references)
            x = v1.placeholder(tf.float32, [None, 2])
            (words := Path(folder).parent.parent / "words.txt").write_text("a\nb\n")
            table = tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(str(words), tf.string, -2, tf.int64, -1), 2
            )
            word = v1.placeholder(tf.string, [None])
            ids = table.lookup(word)
            session.run(v1.global_variables_initializer())
            sign = v1.saved_model.predict_signature_def
            looked_up = {"e": v1.nn.embedding_lookup(shards, ids), "i": ids}
            signatures = {
                "serving_default": sign({"x": x}, {"y": x * a}),
                "word": sign({"w": word}, looked_up),
            }
            builder = v1.saved_model.Builder(folder)
            assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
            start, saver = v1.tables_initializer(), v1.train.Saver(sharded=True)
            builder.add_meta_graph_and_variables(
                session, ["serve"], signatures, assets, main_op=start, saver=saver
            )
            builder.save()

    asked: Questions = [("serving_default", {"x": X}), ("word", {"w": strings(b"b")})]
    return f"version_1_{references}", write, [*asked, ("serving_default", {"x": X[0]})]


def keras_model(name: str, model: Any, **inputs: Any) -> Any:
    def write(folder: str) -> None:
        model.export(folder, verbose=False)

    return name, write, [("serving_default", inputs)]


def of_keras() -> Iterator[Any]:
    layers = keras.layers
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    joined = layers.Concatenate()([layers.Dense(4)(left), layers.BatchNormalization()(right)])
    outputs = {"a": layers.Dense(1, name="a")(joined), "b": layers.Softmax(name="b")(joined)}
    both = keras.Model({"left": left, "right": right}, outputs)
    yield keras_model("functional", both, left=RNG.normal(size=(2, 3)).astype("f4"), right=X)
    vectors = layers.TextVectorization(output_sequence_length=4, vocabulary=["the", "cat"])
    text = keras.Input((), dtype="string", name="text")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(9, 2, mask_zero=True)(vectors(text)))
    yield keras_model("text", keras.Model(text, pooled), text=strings(b"The cat!", b"dog"))
    steps = keras.Input((None, 2), name="steps")
    seen = [layers.LSTM(3)(steps), layers.MultiHeadAttention(2, 2)(steps, steps)]
    yield keras_model("steps", keras.Model(steps, seen), steps=X[None])
    image = keras.Input((8, 8, 3), name="image", dtype="float32")
    half = layers.Conv2D(4, 3, activation="gelu", dtype="mixed_float16")(image)
    taken = RNG.normal(size=(2, 8, 8, 3)).astype("f4")
    yield keras_model("half", keras.Model(image, layers.GlobalMaxPool2D()(half)), image=taken)


def of_functions() -> Iterator[Any]:
    def flow(x: Any, n: Any) -> Any:
        grown = tf.while_loop(lambda i, z: i < n, lambda i, z: (i + 1, tf.tanh(z)), [0, x])[1]
        rows = tf.map_fn(tf.reduce_sum, x)
        return {"z": grown, "m": rows, "s": tf.scan(lambda a, r: a + r, x), "c": 10 // n}

    three, none = {"x": X, "n": np.int32(3)}, {"x": X, "n": np.int32(0)}
    yield one("flow", [spec(None, 2), spec(dtype=tf.int32, name="n")], flow, three, none)

    def text(x: Any) -> Any:
        parts = tf.strings.split(tf.strings.regex_replace(tf.strings.lower(x), "[^a-z ]", ""))
        return {"t": parts.to_tensor(), "n": parts.row_lengths(), "b_bytes": tf.io.encode_base64(x)}

    yield one("strings", [spec(None, dtype=tf.string)], text, {"x": strings(b"A, b", b"\xff", b"")})

    def data(x: Any) -> Any:
        squares = tf.data.Dataset.from_tensor_slices(x).map(lambda a: a * a, num_parallel_calls=2)
        return {"y": squares.prefetch(2).reduce(tf.constant(0, tf.int64), lambda a, b: a + b)}

    yield one("dataset", [spec(None, dtype=tf.int64)], data, {"x": np.arange(9)})

    def image(x: Any) -> Any:
        return {"p": tf.io.decode_image(x), "png_bytes": tf.io.encode_png(tf.io.decode_image(x))}

    png = tf.io.encode_png(RNG.integers(0, 255, (5, 4, 3)).astype("u1")).numpy()
    asked = {"x": np.array(png, object)}, {"x": np.array(b"no", object)}
    yield one("image", [spec(dtype=tf.string)], image, *asked)

    def algebra(x: Any) -> Any:
        compiled = tf.function(lambda z: tf.tanh(z) * 2, jit_compile=True)(x)
        return {"i": tf.linalg.inv(x), "x": compiled, "f": tf.signal.rfft(x), "w": tf.where(x > 1)}

    yield one("algebra", [spec(None, None)], algebra, {"x": X}, {"x": X * 0}, {"x": X[0]})
    for number in (*range(1, 7), 8, 9, 10, 14, 17, 18, 19, *range(22, 34)):
        dtype = tf.as_dtype(number)
        asked = {"x": np.array([1, 0, 1]).astype(dtype.as_numpy_dtype)}
        yield one(dtype.name, [spec(None, dtype=dtype)], lambda x: tf.identity(x), asked)


def answered(folder: str, questions: Questions) -> Iterator[Any]:
    """Ask TensorFlow's session, which knows nothing of Python's types and shapes."""
    with v1.Graph().as_default(), v1.Session() as session:
        signatures = v1.saved_model.load(session, ["serve"], folder).signature_def

        def end(info: Any) -> Any:
            return session.graph.get_tensor_by_name(info.name)._as_tf_output()

        for name, inputs in questions:
            signed, asked = signatures[name], {}
            if len(inputs) == len(signed.inputs) == 1:
                inputs = {next(iter(signed.inputs)): next(iter(inputs.values()))}
            feeds = {end(signed.inputs[alias]): value for alias, value in inputs.items()}
            asked = {alias: proto(value) for alias, value in inputs.items()}
            aliases = sorted(signed.outputs)
            try:
                found = session._call_tf_sessionrun(
                    None, feeds, [end(signed.outputs[alias]) for alias in aliases], [], None
                )
            except tf.errors.OpError as error:
                yield name, asked, error.error_code
            else:
                yield name, asked, dict(zip(aliases, map(proto, found), strict=True))


def proto(value: Any) -> str:
    value = np.asarray(value)
    kind = tf.string if value.dtype.kind in "OS" else None
    made = tf.make_tensor_proto(value, kind, value.shape)
    return base64.b64encode(made.SerializeToString()).decode()


def main(root: Path) -> None:
    (root / "models").mkdir()
    makers = [of_version_1(True), of_version_1(False), *of_functions(), *of_keras()]
    for name, write, questions in makers:
        folder = str(root / "models" / name / "1")
        write(folder)
        (root / f"{name}.json").write_text(json.dumps(list(answered(folder, questions))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
