"""The in-process engine: the model server's answers without the hop, or nothing at all."""

import itertools
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relentless.configs.settings import REPOSITORY
from relentless.models import manifest
from relentless.models.manifest import GOLDEN, MANIFEST, WEIGHTS
from relentless.models.weights import save_weights
from relentless.proto.errors import ModelInvalid, ModelRejected, ModelUnavailable
from relentless.serving import forward
from relentless.serving.engine import InProcessEngine
from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.versions import Policy
from relentless.serving.model_server.main import REQUIRED, serve
from relentless.serving.parity import TOLERANCE, check_against
from relentless.serving.ports import Embedded, Predictor
from relentless.serving.tf_client import TfServingPredictor
from relentless.serving.tf_protos import classification_pb2, prediction_service_pb2_grpc

from .saved_models import MODEL, C, F, random_weights, write_manifest, write_version

W = {1: random_weights(1), 2: random_weights(2)}
CONTEXT = np.random.default_rng(6).normal(size=C).astype(np.float32)
REAL = REPOSITORY / "models" / "repository" / MODEL


def rows(n: int, seed: int = 5) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).uniform(-8, 8, (n, F)).astype(np.float32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for number, weights in W.items():
        write_version(tmp_path / MODEL, number, weights)
    return tmp_path / MODEL


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> InProcessEngine:
    base = tmp_path_factory.mktemp("models") / MODEL
    for number, weights in W.items():
        write_version(base, number, weights)
    return InProcessEngine(base, {"stable": 1, "canary": 2})


def test_it_is_a_predictor_that_holds_both_versions(engine: InProcessEngine) -> None:
    predictor: Predictor = engine
    assert predictor.labels() == {"stable": 1, "canary": 2}
    for version, weights in W.items():
        context = predictor.encode(CONTEXT, 9, version)
        assert (context.context_id, context.version) == (9, version)
        np.testing.assert_allclose(
            predictor.predict(rows(40), context), weights.predict(rows(40), CONTEXT), atol=1e-5
        )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 33, 5_000])
def test_any_number_of_rows_gives_the_same_answers(engine: InProcessEngine, n: int) -> None:
    context = engine.encode(CONTEXT, 1, 1)
    heads = engine.predict(rows(n), context)
    assert heads.shape == (n, 4)
    np.testing.assert_allclose(heads, W[1].predict(rows(n), CONTEXT), atol=1e-5)
    one_by_one = [engine.predict(row[None], context)[0] for row in rows(n)[:40]]
    np.testing.assert_allclose(heads[:40], np.reshape(one_by_one, (-1, 4)), atol=1e-5)


tables = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 60), st.just(F)),
    elements=st.floats(-8, 8, width=32),
    fill=st.just(np.float32(0)),
)


@settings(max_examples=150, deadline=None)
@given(features=tables, seed=st.integers(0, 3))
def test_the_compiled_loop_and_the_formulas_agree(
    features: np.ndarray[Any, np.dtype[np.float32]], seed: int
) -> None:
    weights = random_weights(seed)
    bias = weights.fold(weights.encode(CONTEXT))
    out = np.empty((len(features), 4), np.float32)
    forward.heads_into(features, bias, forward.packed(weights), out)
    np.testing.assert_allclose(out, weights.predict_folded(features, bias), rtol=1e-5, atol=1e-5)
    assert ((out[:, (0, 3)] >= 0) & (out[:, (0, 3)] <= 1)).all()
    assert (out[:, 2] >= 0).all()


@settings(max_examples=100, deadline=None)
@given(features=tables, data=st.data())
def test_how_ticks_are_cut_into_chunks_changes_no_bit(
    engine: InProcessEngine, features: np.ndarray[Any, np.dtype[np.float32]], data: st.DataObject
) -> None:
    context = engine.encode(CONTEXT, 1, 1)
    whole = engine.predict(features, context)
    cuts = data.draw(st.lists(st.integers(0, len(features)), max_size=6).map(sorted))
    edges = [0, *cuts, len(features)]
    parts = [engine.predict(features[a:b], context) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.promise("P7")
@pytest.mark.parametrize("n", [1, 64])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_a_number_reaches_the_heads_of_its_row_alone(
    engine: InProcessEngine, n: int, poison: float
) -> None:
    features = rows(n)
    features[0, 3] = poison
    heads = engine.predict(features, engine.encode(CONTEXT, 1, 1))
    assert not np.isfinite(heads[0]).all()
    assert np.isfinite(heads[1:]).all()


def test_it_answers_the_same_in_every_thread(engine: InProcessEngine) -> None:
    context = engine.encode(CONTEXT, 1, 1)
    wanted = [engine.predict(rows(n), context) for n in (1, 8, 100, 500)]
    with futures.ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            answers = list(pool.map(lambda n: engine.predict(rows(n), context), (1, 8, 100, 500)))
            assert all(map(np.array_equal, answers, wanted))


@pytest.mark.parametrize(
    ("features", "version", "words"),
    [
        (rows(3)[:, :5], 1, "features are float32"),
        (rows(3).astype(np.float64), 1, "features are float32"),
        (rows(3)[0], 1, "features are float32"),
        (rows(3), 9, "version 9 does not serve here"),
    ],
    ids=["width", "type", "rank", "version"],
)
def test_what_does_not_fit_is_rejected(
    engine: InProcessEngine, features: Any, version: int, words: str
) -> None:
    context = engine.encode(CONTEXT, 1, 1)
    other = Embedded(1, version, context.embedding, context.bias)
    with pytest.raises(ModelRejected, match=words):
        engine.predict(features, other)


def test_a_context_of_another_size_is_rejected(engine: InProcessEngine) -> None:
    with pytest.raises(ModelRejected, match="a context vector has the shape"):
        engine.encode(CONTEXT[:4], 1, 1)


def other_weights(folder: Path) -> None:
    save_weights(folder / WEIGHTS, random_weights(99))


def resigned_weights(folder: Path) -> None:
    other_weights(folder)
    write_manifest(folder, int(folder.name))


def other_features(folder: Path) -> None:
    write_manifest(folder, int(folder.name), feature_digest="0" * 64)


def other_version(folder: Path) -> None:
    write_manifest(folder, 7)


def nan_weights(folder: Path) -> None:
    weights = random_weights(2)
    weights.w2[3, 3] = np.nan
    save_weights(folder / WEIGHTS, weights)
    write_manifest(folder, int(folder.name))


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def no_golden(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    write_manifest(folder, int(folder.name))


def other_golden(folder: Path) -> None:
    with np.load(folder / GOLDEN) as pinned:
        arrays = {name: pinned[name] for name in pinned.files}
    np.savez(folder / GOLDEN, **{**arrays, "context_vector": arrays["context_vector"][1:]})
    write_manifest(folder, int(folder.name))


SPOILED = [
    (other_weights, "not the file that the manifest names"),
    (resigned_weights, "differs from its reference"),
    (other_features, "digest"),
    (other_version, "holds version 7"),
    (nan_weights, "not finite"),
    (no_manifest, "no manifest"),
    (no_golden, "no pinned answers"),
    (other_golden, "a context vector has the shape"),
]


@pytest.mark.promise("P7")
@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_a_bad_version_never_serves(base: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(base / "1")
    with pytest.raises(ModelInvalid, match=words):
        InProcessEngine(base, {"stable": 1})


@pytest.mark.promise("P7")
@pytest.mark.parametrize("spoil", [spoil for spoil, _ in SPOILED])
def test_a_bad_canary_leaves_stable_alone(base: Path, spoil: Callable[[Path], None]) -> None:
    spoil(base / "2")
    engine = InProcessEngine(base, {"stable": 1, "canary": 2})
    assert engine.labels() == {"stable": 1}
    assert engine.predict(rows(2), engine.encode(CONTEXT, 1, 1)).shape == (2, 4)


def test_a_version_that_is_taken_away_while_it_is_read_is_invalid(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = InProcessEngine(base, {"stable": 1})

    def gone(folder: Path) -> dict[str, str]:
        raise FileNotFoundError(2, "No such file", str(folder / WEIGHTS))

    monkeypatch.setattr(manifest, "digests", gone)
    assert engine.relabel({"stable": 2}) == {"stable": 1}


@pytest.mark.promise("P7")
def test_labels_move_while_it_runs_and_a_bad_version_moves_nothing(base: Path) -> None:
    engine = InProcessEngine(base, {"stable": 1})
    old = engine.encode(CONTEXT, 1, 1)
    assert engine.relabel({"stable": 2}) == {"stable": 2}
    assert engine.predict(rows(2), old).shape == (2, 4), "a batch under way still finishes"
    write_version(base, 3, random_weights(3))
    resigned_weights(base / "3")
    assert engine.relabel({"stable": 3, "canary": 1}) == {"stable": 2, "canary": 1}
    assert engine.relabel({"stable": 2}) == {"stable": 2}
    assert engine.relabel({"stable": 2}) == {"stable": 2}
    with pytest.raises(ModelRejected, match="version 1 does not serve here"):
        engine.predict(rows(2), old)
    with pytest.raises(ModelInvalid, match="no version has the label"):
        engine.relabel({"canary": 1})
    assert engine.labels() == {"stable": 2}


def test_without_labels_the_highest_version_is_stable(base: Path, tmp_path: Path) -> None:
    assert InProcessEngine(base).labels() == {"stable": 2}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelInvalid, match="holds no version"):
        InProcessEngine(tmp_path / "empty")


@pytest.fixture(scope="module")
def real_server() -> Iterator[TfServingPredictor]:
    if not (REAL / "1" / MANIFEST).exists():
        pytest.skip("no trained version here")
    config = ModelConfig(MODEL, REAL, Policy("all"), {"stable": 1})
    server = serve("127.0.0.1:0", (config,), REAL.parent, REQUIRED)
    client = TfServingPredictor(server.address, MODEL, timeout_s=30)
    yield client
    client.close()
    server.stop(0.1)


@pytest.mark.promise("P7")
def test_the_shipped_version_computes_the_same_in_both(real_server: TfServingPredictor) -> None:
    engine = InProcessEngine(REAL, parity_source=real_server)
    assert engine.labels() == real_server.labels() == {"stable": 1}
    pinned = InProcessEngine(REAL, {"stable": 1})
    weights = pinned._versions[1].weights
    assert check_against(engine, real_server, weights, 1) < TOLERANCE


def test_the_shipped_version_classifies_examples_as_tf_serving_does(
    real_server: TfServingPredictor,
) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = "classify"
    for row in rows(3):
        example = request.input.example_list.examples.add()
        example.features.feature["features"].float_list.value.extend(row.tolist())
    with grpc.insecure_channel(real_server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Classify(request, timeout=30)
    assert response.model_spec.signature_name == "classify"
    for entry in response.result.classifications:
        assert [cell.label for cell in entry.classes] == ["down", "up"]
        assert sum(cell.score for cell in entry.classes) == pytest.approx(1, abs=1e-6)
    assert len(response.result.classifications) == 3


@pytest.mark.promise("P7")
def test_weights_that_are_not_the_servers_are_refused(
    real_server: TfServingPredictor, base: Path
) -> None:
    with pytest.raises(ModelInvalid, match=r"version 1 differs from its reference by .* in"):
        InProcessEngine(base, {"stable": 1}, parity_source=real_server)
    write_version(base, 999, W[1])
    with pytest.raises(ModelInvalid, match="version 999: the model server says"):
        InProcessEngine(base, {"stable": 999}, parity_source=real_server)


def test_a_silent_parity_source_is_no_verdict(base: Path) -> None:
    nobody = TfServingPredictor("127.0.0.1:1", MODEL, timeout_s=0.3)
    with pytest.raises(ModelUnavailable):
        InProcessEngine(base, {"stable": 1}, parity_source=nobody)
    nobody.close()


def test_without_a_server_to_ask_the_declared_labels_hold(tmp_path):
    """The highest version is not stable by being the highest: the config file says which is."""
    from relentless.configs.settings import Settings
    from relentless.serving.model_server.config import declared_labels

    settings = Settings()
    folder = settings.paths.models / settings.model_server.name
    assert declared_labels(folder) == {"stable": 1, "canary": 2}
    (tmp_path / settings.model_server.name / "1").mkdir(parents=True)
    assert declared_labels(tmp_path / settings.model_server.name) == {"stable": 1}
