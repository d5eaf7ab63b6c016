"""One small training from end to end. The only module of the tests that imports TensorFlow."""

import re

import numpy as np
import pytest

from relentless.models.context_vector import CONTEXT_VECTOR
from relentless.models.datasets import Bars
from relentless.models.export import export
from relentless.models.feature_spec import TICK_FEATURES
from relentless.models.manifest import GOLDEN, WEIGHTS, digests, load_manifest, verify
from relentless.models.training import CHOOSE_UNTIL, FIT_UNTIL, assemble, silence, splits, train
from relentless.models.weights import Weights, load_weights, shapes
from relentless.proto.errors import InvalidInput, ModelInvalid
from relentless.serving.model_server.lifecycle.versions import scan

from .exported import by_grpc, by_rest, check_every_signature, served


def small_bars():
    rng = np.random.default_rng(4)
    days = 1_340
    dates = np.datetime64("2010-04-01") + np.arange(days)
    noise = rng.normal(0, 0.012, (2, days)).cumsum(axis=1)
    volume = rng.integers(1, 1000, days).astype(float)
    return [
        Bars("A", "test", dates, 40 * np.exp(noise[0]), volume),
        Bars("B", "test", dates, 90 * np.exp(noise[1]), np.zeros(days)),
    ]


def small_training(output, seed, epochs=2):
    from relentless.models.network import Recipe

    recipe = Recipe(seed=seed, epochs=epochs, batch=256)
    return train(output, None, seed, 7, assets=small_bars(), recipe=recipe)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trainings alike."""
    folder = tmp_path_factory.mktemp("models")
    return [small_training(folder / name, seed=3) for name in ("one", "two")]


def test_the_same_seed_gives_the_same_bytes(trained):
    one, two = trained
    assert (one.folder / WEIGHTS).read_bytes() == (two.folder / WEIGHTS).read_bytes()
    assert digests(one.folder).keys() == digests(two.folder).keys()
    assert one.weights_sha256 == two.weights_sha256
    manifests = [load_manifest(report.folder) for report in trained]
    assert manifests[0].training == manifests[1].training
    assert manifests[0].metrics == manifests[1].metrics


def test_another_seed_gives_other_weights_and_nothing_is_said_of_tensorflow(
    trained, capfd, tmp_path
):
    other = small_training(tmp_path, seed=4, epochs=1)
    assert other.weights_sha256 != trained[0].weights_sha256
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_version_is_whole_and_its_manifest_holds(trained):
    folder = trained[0].folder
    manifest = verify(folder)
    assert (folder.name, manifest.version) == ("7", 7)
    assert not list(folder.parent.glob(".tmp-*"))
    assert manifest.shapes.features == len(TICK_FEATURES)
    assert set(manifest.unused_context) == set(CONTEXT_VECTOR)  # no macro: everything is masked
    assert {"spread", "quote_position", "has_quote", "warm"} <= set(manifest.unused_features)
    with np.load(folder / GOLDEN) as pinned:
        weights = load_weights(folder / WEIGHTS)
        heads = weights.predict(pinned["features"], pinned["context_vector"])
        np.testing.assert_array_equal(heads, pinned["heads"])


def test_the_splits_follow_time_and_no_target_looks_into_the_next(trained):
    samples = assemble(small_bars(), None).samples
    split = splits(samples)
    assert samples.ends[split["fit"]].max() <= FIT_UNTIL < samples.dates[split["choose"]].min()
    assert samples.ends[split["choose"]].max() <= CHOOSE_UNTIL < samples.dates[split["test"]].min()
    assert np.datetime64("2013-10-07") > CHOOSE_UNTIL
    described = load_manifest(trained[0].folder).training["splits"]
    assert described["fit"]["rows"] == int(split["fit"].sum())


def test_inputs_that_never_varied_change_nothing_and_the_function_stays():
    rng = np.random.default_rng(0)
    f, c = len(TICK_FEATURES), len(CONTEXT_VECTOR)
    weights = Weights(
        **{n: rng.normal(0, 0.3, s).astype(np.float32) for n, s in shapes(c, f).items()}
    )
    features = rng.normal(size=(50, f)).astype(np.float32)
    features[:, 3], features[:, 9] = 0.0, 1.0
    contexts = rng.normal(size=(50, c)).astype(np.float32)
    contexts[:, 5] = 0.0
    silenced, still, absent = silence(weights, features, contexts)
    assert still.tolist() == [3, 9] and absent.tolist() == [5]
    np.testing.assert_allclose(
        silenced.predict(features, contexts[0]), weights.predict(features, contexts[0]), atol=1e-5
    )
    moved = features.copy()
    moved[:, [3, 9]] = 7.0
    elsewhere = contexts[0].copy()
    elsewhere[5] = 4.0
    np.testing.assert_array_equal(
        silenced.predict(moved, elsewhere), silenced.predict(features, contexts[0])
    )


def test_a_damaged_or_foreign_version_is_refused(trained):
    folder = trained[1].folder
    manifest = folder / "assets.extra" / "manifest.json"
    good = manifest.read_text()
    for pattern, other, said in (
        (r'"feature_digest": "[0-9a-f]', '"feature_digest": "', "manifest"),
        (r'"feature_digest": "[0-9a-f]{8}', '"feature_digest": "00000000', "tick features"),
        (r'"ret_1"', '"ret_2"', "tick features"),
        (r'"vix"', '"vox"', "context vector"),
    ):
        manifest.write_text(re.sub(pattern, other, good, count=1))
        with pytest.raises(ModelInvalid, match=said):
            verify(folder)
    manifest.write_text(good)
    weights = folder / WEIGHTS
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-9])
    with pytest.raises(ModelInvalid, match=r"weights\.npz is not the file"):
        verify(folder)
    with pytest.raises(ModelInvalid, match="holds no weights"):
        load_weights(weights)
    weights.write_bytes(kept)
    assert verify(folder)


def test_training_without_the_macro_files_says_what_to_do(tmp_path):
    with pytest.raises(InvalidInput, match="FRED series as CSV"):
        train(tmp_path, tmp_path / "nowhere", 1)


def test_what_was_trained_serves_over_grpc_and_rest_with_batching(trained):
    folder = trained[0].folder
    with served(folder.parent) as server:
        assert server.manager.available(folder.parent.name) == [7]
        check_every_signature(folder, by_grpc(server.address, folder.parent.name, 7))
        check_every_signature(folder, by_rest(server.rest, folder.parent.name, 7))


def test_a_version_appears_whole_or_not_at_all(trained, tmp_path, monkeypatch):
    folder = trained[0].folder
    weights, manifest = load_weights(folder / WEIGHTS), load_manifest(folder)
    model = tmp_path / manifest.name
    seen = []

    def renamed(draft, final):
        assert verify(draft).version == 7
        seen.append((draft.name, final.name, scan(model)))
        raise OSError("the power failed")

    with monkeypatch.context() as patched:
        patched.setattr("relentless.models.export.os.rename", renamed)
        with pytest.raises(OSError, match="power failed"):
            export(weights, manifest, tmp_path)
    assert seen == [(".tmp-7", "7", {})]
    assert scan(model) == {}
    written = export(weights, manifest, tmp_path)
    assert scan(model) == {7: written}
    assert verify(written).files.keys() == manifest.files.keys()
