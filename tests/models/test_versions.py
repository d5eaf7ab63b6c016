"""The committed versions: whole, pinned, and the same in numpy and in TensorFlow's C++ loader."""

import json
from pathlib import Path

import numpy as np
import pytest

from relentless.configs.settings import REPOSITORY
from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.manifest import MODEL_NAME, WEIGHTS, verify
from relentless.models.weights import EMBEDDING, HEAD_NAMES, HIDDEN, load_weights
from relentless.serving.model_server.lifecycle.warmup import admit
from relentless.serving.model_server.runtime.session import SavedModelSession
from relentless.serving.model_server.runtime.tensors import STRING, RawTensor
from relentless.serving.ports import HEADS

GOLDEN = json.loads((Path(__file__).parent / "golden_outputs.json").read_text())
PINNED = sorted(GOLDEN["heads"])
SIGNATURES = {
    "serving_default": ({"features", "context"}, set(HEADS)),
    "encode_context": ({"context_vector"}, {"embedding"}),
    "fold_context": ({"embedding"}, {"bias"}),
    "predict_folded": ({"features", "bias"}, set(HEADS)),
    "classify": ({"inputs"}, {"classes", "scores"}),
}


@pytest.fixture(scope="module")
def versions() -> Path:
    """The folder of the committed versions."""
    return REPOSITORY / "models" / "repository" / MODEL_NAME


@pytest.fixture(scope="module")
def inputs():
    """Feature rows [N, F] and context vectors [M, C] that never change."""
    return (
        np.array(GOLDEN["features"], np.float32),
        np.array(GOLDEN["context_vectors"], np.float32),
    )


@pytest.fixture(scope="module")
def sessions(versions):
    """Each version in the loader that TensorFlow Serving uses."""
    opened = {number: SavedModelSession(versions / number) for number in PINNED}
    yield opened
    for session in opened.values():
        session.close()


def call(session, name, **feeds):
    signature = session.signatures[name]
    outputs = list(signature.outputs)
    values = session.run(
        {
            signature.inputs[alias].name: v if isinstance(v, RawTensor) else RawTensor.of(v)
            for alias, v in feeds.items()
        },
        [signature.outputs[alias].name for alias in outputs],
    )
    return {alias: value.array() for alias, value in zip(outputs, values, strict=True)}


def stacked(heads):
    return np.column_stack([heads[name] for name in HEADS])


def test_the_heads_have_one_order():
    assert HEADS == HEAD_NAMES


@pytest.mark.parametrize("number", PINNED)
def test_the_manifest_holds_and_nothing_of_the_shipped_day_was_fitted(versions, number):
    manifest = verify(versions / number)
    assert manifest.version == int(number)
    assert tuple(manifest.heads) == HEADS
    shapes = manifest.shapes
    assert (shapes.features, shapes.context) == (len(TICK_FEATURES), len(CONTEXT_VECTOR))
    used = [manifest.training["splits"][name]["last"] for name in ("fit", "choose")]
    assert max(used) < "2013-10-07"
    # What belongs to others, and what has no history, has no weight.
    silent = {"vix", "credit_spread", "high_yield_spread", "legislative_risk_score"}
    assert silent <= set(manifest.unused_context)
    encoder = load_weights(versions / number / WEIGHTS).encoder_kernel
    for name in manifest.unused_context:
        assert not encoder[CONTEXT_VECTOR.index(name)].any()


@pytest.mark.parametrize("number", PINNED)
def test_numpy_gives_the_pinned_outputs(versions, inputs, number):
    weights = load_weights(versions / number / WEIGHTS)
    features, contexts = inputs
    for vector, wanted in zip(contexts, GOLDEN["heads"][number], strict=True):
        np.testing.assert_allclose(weights.predict(features, vector), wanted, atol=1e-5)


@pytest.mark.parametrize("number", PINNED)
def test_the_savedmodel_gives_the_pinned_outputs_by_either_way(sessions, inputs, number):
    session, (features, contexts) = sessions[number], inputs
    for vector, wanted in zip(contexts, GOLDEN["heads"][number], strict=True):
        embedding = call(session, "encode_context", context_vector=vector[None])["embedding"]
        bias = call(session, "fold_context", embedding=embedding)["bias"]
        assert (embedding.shape, bias.shape) == ((1, EMBEDDING), (1, HIDDEN))
        folded = call(session, "predict_folded", features=features, bias=bias)
        direct = call(session, "serving_default", features=features, context=embedding)
        rows = np.repeat(embedding, len(features), axis=0)
        by_row = call(session, "serving_default", features=features, context=rows)
        for heads in (folded, direct, by_row):
            np.testing.assert_allclose(stacked(heads), wanted, atol=1e-5)


@pytest.mark.parametrize("number", PINNED)
def test_the_version_has_the_five_signatures_and_passes_its_warm_up(versions, sessions, number):
    session = sessions[number]
    for name, (inputs, outputs) in SIGNATURES.items():
        signature = session.signatures[name]
        assert (set(signature.inputs), set(signature.outputs)) == (inputs, outputs)
    assert admit(session, versions / number, int(number), SIGNATURES) == 6


@pytest.mark.parametrize("number", PINNED)
def test_classify_takes_examples_and_knows_no_context(versions, sessions, inputs, number):
    features = inputs[0]
    records = RawTensor(STRING, (len(features),), [example(row) for row in features])
    said = call(sessions[number], "classify", inputs=records)
    weights = load_weights(versions / number / WEIGHTS)
    up = weights.predict(features, np.zeros(len(CONTEXT_VECTOR), np.float32))[:, 0]
    np.testing.assert_allclose(said["scores"], np.column_stack([1 - up, up]), atol=1e-5)
    assert said["classes"].tolist() == [[b"down", b"up"]] * len(features)


def example(row):
    """Write a ``tf.Example`` with one float list, "features", by hand."""

    def field(number, body):
        return bytes([number << 3 | 2]) + varint(len(body)) + body

    floats = field(1, row.astype("<f4").tobytes())
    entry = field(1, b"features") + field(2, field(2, floats))
    return field(1, field(1, entry))


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize("number", PINNED)
def test_any_input_within_its_limits_gives_heads_within_theirs(versions, number):
    weights = load_weights(versions / number / WEIGHTS)
    rng = np.random.default_rng(0)
    features = rng.choice([-8.0, -1.0, 0.0, 1.0, 8.0], (2000, len(TICK_FEATURES)))
    for vector in rng.uniform(-5, 5, (5, len(CONTEXT_VECTOR))).astype(np.float32):
        heads = weights.predict(features.astype(np.float32), vector)
        assert np.isfinite(heads).all()
        assert (heads[:, [0, 3]] >= 0).all() and (heads[:, [0, 3]] <= 1).all()
        assert (heads[:, 2] >= 0).all()
