"""SavedModels through the C API: what loads, what never serves, and what is left behind."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relentless.serving.model_server.lifecycle.loading import Loading
from relentless.serving.model_server.lifecycle.warmup import WARMUP_FILE
from relentless.serving.model_server.main import REQUIRED
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.session import SavedModelSession
from relentless.serving.model_server.runtime.session_config import from_options
from relentless.serving.tensor_proto import DTYPES, RawTensor, TensorError, pack, unpack
from relentless.serving.tf_protos import config_pb2, tensor_pb2

from ..saved_models import (
    HIDDEN,
    MODEL,
    STRING,
    F,
    Graph,
    constant_weights,
    random_weights,
    write_graph,
    write_manifest,
    write_version,
)

WEIGHTS = random_weights(7)


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_version(tmp_path, 1, WEIGHTS)


def run(session: SavedModelSession, signature: str, **inputs: Any) -> dict[str, Any]:
    signed = session.signatures[signature]
    feeds = {signed.inputs[alias].name: RawTensor.of(value) for alias, value in inputs.items()}
    aliases = sorted(signed.outputs)
    tensors = session.run(feeds, [signed.outputs[alias].name for alias in aliases])
    return {alias: tensor.array() for alias, tensor in zip(aliases, tensors, strict=True)}


def test_the_graph_computes_what_the_formulas_say(version: Path) -> None:
    session = SavedModelSession(version)
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, F)).astype(np.float32)
    bias = rng.normal(size=(1, HIDDEN)).astype(np.float32)
    heads = run(session, "predict_folded", features=features, bias=bias)
    wanted = WEIGHTS.predict_folded(features, bias[0])
    for column, name in enumerate(("p_up", "expected_return", "volatility_ratio", "risk")):
        np.testing.assert_allclose(heads[name], wanted[:, column], rtol=0, atol=1e-5)
    session.close()
    with pytest.raises(TFError, match="closed"):
        run(session, "predict_folded", features=features, bias=bias)


@pytest.mark.parametrize("flags", [{}, {"tensorflow_session_parallelism": 2}])
def test_bfloat16_is_a_rewrite_of_any_session_and_its_answers_stay_close(
    version: Path, flags: dict[str, int]
) -> None:
    plain = from_options(ServerOptions(**flags), None).for_folder(version)
    mixed = from_options(ServerOptions(mixed_precision="bfloat16", **flags), None)
    asked = config_pb2.ConfigProto.FromString(mixed.for_folder(version))
    rewrites = asked.graph_options.rewrite_options
    assert rewrites.auto_mixed_precision_onednn_bfloat16 == rewrites.ON
    asked.ClearField("graph_options")
    assert asked.SerializeToString() == plain
    other = from_options(ServerOptions(mixed_precision="float16", **flags), None)
    assert other.for_folder(version) == plain

    session = SavedModelSession(version, mixed.for_folder(version))
    features, bias = np.ones((4, F), np.float32), np.ones((1, HIDDEN), np.float32)
    heads = run(session, "predict_folded", features=features, bias=bias)
    wanted = WEIGHTS.predict_folded(features, bias[0])
    np.testing.assert_allclose(heads["p_up"], wanted[:, 0], atol=0.05)
    session.close()


def echo(folder: Path, dtype: int) -> SavedModelSession:
    graph = Graph()
    graph.sign(
        "echo", {"x": (graph.node("Identity", graph.input("in", 3, dtype), dtype=dtype), 3)}, {}
    )
    node = graph.meta.graph_def.node[-1].name
    graph.meta.signature_def["echo"].inputs["x"].name = "in:0"
    graph.meta.signature_def["echo"].outputs["y"].name = f"{node}:0"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(graph.saved.SerializeToString())
    return SavedModelSession(folder)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_carried_type_goes_in_and_comes_out(tmp_path: Path, dtype: int) -> None:
    session = echo(tmp_path / "echo", dtype)
    sent = RawTensor(dtype, (2, 3), np.array([[0, 1, 1], [1, 0, 1]], DTYPES[dtype]).tobytes())
    (answer,) = session.run({"in:0": sent}, ["n0:0"])
    session.close()
    assert answer == sent
    for content in (False, True):
        assert unpack(pack(answer, content=content)) == sent


def test_strings_of_any_length_go_in_and_come_out(tmp_path: Path) -> None:
    session = echo(tmp_path / "echo", STRING)
    values = [b"", b"short", b"\x00" * 1000 + b"long"]
    (answer,) = session.run({"in:0": RawTensor(STRING, (1, 3), values)}, ["n0:0"])
    session.close()
    assert answer == RawTensor(STRING, (1, 3), values)
    for content in (False, True):
        assert unpack(pack(answer, content=content)) == answer


def no_graph(version: Path) -> None:
    (version / "saved_model.pb").unlink()


def damaged_graph(version: Path) -> None:
    path = version / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:500])


def truncated_warmup(version: Path) -> None:
    path = version / WARMUP_FILE
    path.write_bytes(path.read_bytes()[:-3])


def flipped_warmup(version: Path) -> None:
    path = version / WARMUP_FILE
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_graph, "Could not find SavedModel"),
        (damaged_graph, "less bytes than requested"),
        (truncated_warmup, "truncated"),
        (flipped_warmup, "corrupted"),
    ],
)
def test_a_damaged_version_is_refused(
    version: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(version)
    with pytest.raises(TFError, match="is not the file that the manifest names"):
        Loading(REQUIRED).load(MODEL, 1, version)
    write_manifest(version, 1)
    with pytest.raises(TFError, match=words):
        Loading(REQUIRED).load(MODEL, 1, version)


@pytest.mark.promise("P7")
def test_a_version_trained_on_other_features_is_refused(version: Path) -> None:
    write_manifest(version, 1, feature_digest="0" * 64)
    with pytest.raises(TFError, match="tick features") as refused:
        Loading(REQUIRED).load(MODEL, 1, version)
    assert refused.value.code == 9


@pytest.mark.promise("P7")
def test_a_version_without_a_signature_is_refused(tmp_path: Path) -> None:
    folder = write_version(tmp_path, 1, WEIGHTS, leave_out=("fold_context",))
    with pytest.raises(TFError, match="signatures missing: fold_context"):
        Loading(REQUIRED).load(MODEL, 1, folder)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_version_that_answers_no_number_is_refused(tmp_path: Path, poison: float) -> None:
    weights = constant_weights(0.5)
    weights.b3[1] = poison
    folder = write_version(tmp_path, 1, weights)
    with pytest.raises(TFError, match="output expected_return is not finite"):
        Loading(REQUIRED).load(MODEL, 1, folder)


@pytest.mark.promise("P7")
def test_a_version_of_another_shape_fails_its_warm_up(tmp_path: Path) -> None:
    weights = random_weights(3)
    wrong = weights._replace(w1_features=weights.w1_features[: F - 1])
    folder = write_version(tmp_path / "wrong", 1, weights)
    write_graph(folder, wrong)
    write_manifest(folder, 1)
    with pytest.raises(TFError) as refused:
        Loading(REQUIRED).load(MODEL, 1, folder)
    assert refused.value.code == 3


def test_running_and_loading_again_and_again_leaks_nothing(version: Path, soak: bool) -> None:
    runs, loads = (100_000, 300) if soak else (1_500, 15)
    features = np.zeros((256, F), np.float32)
    bias = np.zeros((1, HIDDEN), np.float32)
    session = SavedModelSession(version)

    def work(times: int) -> int:
        for _ in range(times):
            run(session, "predict_folded", features=features, bias=bias)
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    work(300)
    before = work(300)
    after = work(runs)
    session.close()
    # 256 rows are 36 kB a run: a leak of any of its tensors would be a hundred megabytes.
    assert after - before < 20_000_000
    for _ in range(loads):
        SavedModelSession(version).close()
    gc.collect()
    assert psutil.Process().memory_info().rss - after < 60_000_000


@settings(max_examples=200, deadline=None)
@given(
    array=st.sampled_from(sorted(DTYPES.values(), key=str)).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
        )
    )
)
def test_any_tensor_survives_the_wire_bit_by_bit(array: np.ndarray[Any, Any]) -> None:
    wire = pack(RawTensor.of(array)).SerializeToString()
    back = unpack(tensor_pb2.TensorProto.FromString(wire)).array()
    assert back.shape == array.shape
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@pytest.mark.promise("P11")
@settings(max_examples=300, deadline=None)
@given(
    dtype=st.integers(0, 30),
    sizes=st.lists(st.integers(-3, 2**62), max_size=4),
    floats=st.lists(st.floats(width=32), max_size=4),
    content=st.binary(max_size=16),
)
def test_hostile_tensors_give_a_typed_error_or_a_tensor(
    dtype: int, sizes: list[int], floats: list[float], content: bytes
) -> None:
    proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=content, float_val=floats)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    try:
        tensor = unpack(proto)
    except TensorError:
        return
    assert tensor.array().shape == tuple(sizes)


def test_one_value_fills_the_shape() -> None:
    proto = tensor_pb2.TensorProto(dtype=1, float_val=[2.5])
    proto.tensor_shape.dim.add(size=3)
    np.testing.assert_array_equal(unpack(proto).array(), np.full(3, 2.5, np.float32))
