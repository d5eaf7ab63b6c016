"""Several model servers behind one predictor: servers that die, hang, lie and return."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.configs.tick_path import ModelServerSettings
from relentless.proto.errors import (
    InvalidSettings,
    ModelError,
    ModelInvalid,
    ModelRejected,
    ModelUnavailable,
)
from relentless.serving.backends import balanced, client, single
from relentless.serving.balanced import BalancedPredictor
from relentless.serving.budget import RetryBudget
from relentless.serving.engine import InProcessEngine
from relentless.serving.model_server.main import models_for
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.server import start
from relentless.serving.ports import Embedded, Predictor
from relentless.serving.tf_client import TfServingPredictor

from .model_server.test_tls import AUTHORITY, CLIENT, ssl_file
from .model_stubs import LABELS, Told, real_server, until
from .saved_models import HIDDEN, MODEL, C, F, random_weights, write_version

FEATURES = np.random.default_rng(5).normal(size=(9, F)).astype(np.float32)
CONTEXT = np.random.default_rng(6).normal(size=C).astype(np.float32)
WANTED = {n: random_weights(n).predict(FEATURES, CONTEXT) for n in LABELS.values()}

Make = Callable[..., BalancedPredictor]


@pytest.fixture
def told() -> Iterator[Callable[..., Told]]:
    """Give servers that do as they are told; all end with the test."""
    servers: list[Told] = []

    def make(*args: Any, **kwargs: Any) -> Told:
        servers.append(Told(*args, **kwargs))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def over() -> Iterator[Make]:
    """Give predictors over (primary, secondary) servers; all are closed with the test."""
    made: list[BalancedPredictor] = []

    def make(primary: list[Told], secondary: tuple[Told, ...] = (), **options: Any) -> Any:
        options.setdefault("timeout_s", 10.0)
        sites = [
            ("primary", {server.address: server.client() for server in primary}),
            ("secondary", {server.address: server.client() for server in secondary}),
        ]
        made.append(BalancedPredictor(sites, **options))
        return made[-1]

    yield make
    for predictor in made:
        predictor.close()


def edge_of(root: Path) -> InProcessEngine:
    return InProcessEngine(root / MODEL, LABELS)


def good(heads: Any, version: int = 1) -> bool:
    return bool(np.allclose(heads, WANTED[version], atol=1e-5))


def up(predictor: BalancedPredictor) -> list[bool]:
    return [said["up"] for said in predictor.report()["servers"].values()]


def test_it_is_a_predictor_and_spreads_what_is_asked(told: Callable[..., Told], over: Make) -> None:
    servers = [told(), told()]
    predictor = over(servers)
    typed: Predictor = predictor
    assert typed.labels() == LABELS
    context = typed.encode(CONTEXT, 7, 2)
    assert (context.context_id, context.version) == (7, 2)
    asked = [server.asked for server in servers]
    for _ in range(20):
        assert good(predictor.predict(FEATURES, context), 2)
    # one server encodes the context once more, for itself
    assert sum(s.asked - before for s, before in zip(servers, asked, strict=True)) == 22
    assert {said["answered"] for said in predictor.report()["servers"].values()} <= {10, 11, 12}
    assert predictor.report() | {"servers": None} == {
        "site": "primary",
        "failovers": 0,
        "returns": 0,
        "answers_elsewhere": 0,
        "retries": 0,
        "retries_withheld": 0,
        "servers": None,
    }


@pytest.mark.promise("P7")
def test_killing_one_of_two_servers_under_load_loses_no_request(tmp_path: Path) -> None:
    first, second = real_server(tmp_path), real_server(tmp_path)
    settings = ModelServerSettings(
        address=first.address, replicas=(second.address,), timeout_s=10.0
    )
    predictor = balanced(settings)
    context = predictor.encode(CONTEXT, 1, 1)
    ended, killed = threading.Event(), threading.Event()
    slowest, answered, failures = [0.0] * 4, [0] * 4, []

    def load(number: int) -> None:
        while not ended.is_set():
            begun = time.monotonic()
            try:
                assert good(predictor.predict(FEATURES, context))
            except (ModelError, AssertionError) as error:
                failures.append(error)
            slowest[number] = max(slowest[number], time.monotonic() - begun)
            answered[number] += killed.is_set()

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: min(s["answered"] for s in predictor.report()["servers"].values()) > 20, "load")
    first.stop(0)
    killed.set()
    until(lambda: min(answered) > 20, "load after the kill")
    assert up(predictor) == [False, True]
    third = real_server(tmp_path, first.address)
    until(lambda: up(predictor) == [True, True], "the server is back")
    ended.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert max(slowest) < predictor.timeout_s
    report = predictor.report()
    assert 1 <= report["retries"] <= 10
    assert (report["failovers"], report["answers_elsewhere"]) == (0, 0)
    predictor.close()
    second.stop(0)
    third.stop(0)


@pytest.mark.promise("P7")
def test_with_the_first_site_gone_the_second_answers_and_then_the_edge_and_back_again(
    tmp_path: Path,
) -> None:
    first, second = real_server(tmp_path), real_server(tmp_path)
    settings = ModelServerSettings(
        address=first.address, secondary=(second.address,), timeout_s=10.0
    )
    predictor = balanced(settings, edge_of(tmp_path))
    context = predictor.encode(CONTEXT, 1, 1)

    def ask() -> tuple[bool, str]:
        answer = predictor.answer(FEATURES, context)
        assert good(answer.heads)
        return answer.failover, predictor.report()["site"]

    assert ask() == (False, "primary")
    first.stop(0)
    assert ask() == (True, "secondary")
    second.stop(0)
    assert ask() == (True, "edge")
    assert ask() == (True, "edge")
    assert predictor.labels() == LABELS
    again = real_server(tmp_path, first.address)
    until(lambda: ask() == (False, "primary"), "the first site is back")
    report = predictor.report()
    assert (report["failovers"], report["returns"]) == (1, 1)
    assert report["answers_elsewhere"] >= 3
    predictor.close()
    again.stop(0)


@pytest.mark.promise("P7")
def test_a_server_that_hangs_costs_half_a_deadline_once(
    told: Callable[..., Told], over: Make
) -> None:
    slow, well = told(), told()
    predictor = over([slow, well], timeout_s=2.0)
    context = predictor.encode(CONTEXT, 1, 1)
    for _ in range(2):
        predictor.predict(FEATURES, context)
    slow.mode = "hang"
    asked, times = slow.counts["Predict"], []
    for _ in range(6):
        begun = time.monotonic()
        assert good(predictor.predict(FEATURES, context))
        times.append(time.monotonic() - begun)
    assert max(times) < 2.0
    assert max(times) >= 0.9
    assert slow.counts["Predict"] == asked + 1
    assert up(predictor) == [False, True]


@pytest.mark.promise("P7")
@pytest.mark.parametrize("mode", ["nan", "short", grpc.StatusCode.INTERNAL])
def test_an_answer_that_is_none_is_never_given_and_its_server_rests(
    told: Callable[..., Told], over: Make, mode: Any
) -> None:
    bad, well = told(), told()
    predictor = over([bad, well])
    context = predictor.encode(CONTEXT, 1, 1)
    bad.mode = mode
    for _ in range(10):
        assert good(predictor.predict(FEATURES, context))
    assert up(predictor) == [False, True]
    assert predictor.report()["retries"] == 1
    before = bad.asked
    until(lambda: bad.asked > before, "it is probed")
    assert up(predictor) == [False, True]
    bad.mode = "well"
    until(lambda: up(predictor) == [True, True], "it is up again")


def test_nan_features_are_the_caller_s_and_set_nobody_aside(
    told: Callable[..., Told], over: Make
) -> None:
    predictor = over([told(), told()])
    context = predictor.encode(CONTEXT, 1, 1)
    poisoned = FEATURES.copy()
    poisoned[3] = np.nan
    heads = predictor.predict(poisoned, context)
    assert np.isfinite(heads).all(axis=1).tolist() == [n != 3 for n in range(len(heads))]
    assert up(predictor) == [True, True]


def test_features_out_of_all_range_are_the_caller_s_and_set_nobody_aside(
    told: Callable[..., Told], over: Make
) -> None:
    predictor = over([told(), told()])
    context = predictor.encode(CONTEXT, 1, 1)
    absurd = FEATURES.copy()
    absurd[3] = 3e38
    heads = predictor.predict(absurd, context)
    assert np.isfinite(heads).all(axis=1).tolist() == [n != 3 for n in range(len(heads))]
    assert up(predictor) == [True, True]


@pytest.mark.promise("P7")
def test_a_canary_that_answers_nonsense_everywhere_leaves_stable_where_it_was(
    told: Callable[..., Told], over: Make
) -> None:
    bad = random_weights(2)._replace(b3=np.full(4, np.nan, np.float32))
    servers = [told({1: random_weights(1), 2: bad}) for _ in range(2)]
    predictor = over(servers)
    stable, canary = (predictor.encode(CONTEXT, 1, version) for version in (1, 2))
    for _ in range(6):
        assert good(predictor.predict(FEATURES, stable))
    for _ in range(6):
        with pytest.raises(ModelInvalid, match="NaN"):
            predictor.predict(FEATURES, canary)
        assert good(predictor.predict(FEATURES, stable))
    assert up(predictor) == [True, True]
    # A server that comes back is taken for what it does well.
    servers[0].mode = grpc.StatusCode.UNAVAILABLE
    until(lambda: good(predictor.predict(FEATURES, stable)) and not up(predictor)[0], "it is away")
    servers[0].mode = "well"
    until(lambda: up(predictor)[0], "it is up again")
    for _ in range(6):
        with pytest.raises(ModelInvalid, match="NaN"):
            predictor.predict(FEATURES, canary)
        assert good(predictor.predict(FEATURES, stable))
    assert up(predictor) == [True, True]
    # One that answers nonsense with every version rests as a whole.
    servers[1].mode = "nan"
    until(lambda: good(predictor.predict(FEATURES, stable)) and not up(predictor)[1], "it rests")


@pytest.mark.promise("P7")
def test_a_server_with_another_model_under_the_same_version_never_answers(
    told: Callable[..., Told], over: Make
) -> None:
    own = told({1: random_weights(1)})
    other = told({1: random_weights(99)})
    predictor = over([own, other])
    context = predictor.encode(CONTEXT, 1, 1)
    for _ in range(6):
        assert good(predictor.predict(FEATURES, context))
    assert up(predictor) == [True, False]
    before = other.asked
    until(lambda: other.asked > before, "it is probed")
    assert up(predictor) == [True, False]
    other.versions = {1: random_weights(1)}
    until(lambda: up(predictor) == [True, True], "it is up again")


@pytest.mark.promise("P7")
def test_a_server_that_has_another_model_than_the_engine_never_answers_even_alone(
    told: Callable[..., Told], over: Make, tmp_path: Path
) -> None:
    real_server(tmp_path).stop(0)  # it writes the versions
    other = told({1: random_weights(99)})
    predictor = over([other], edge=edge_of(tmp_path))
    context = predictor.encode(CONTEXT, 1, 1)
    for _ in range(3):
        answer = predictor.answer(FEATURES, context)
        assert good(answer.heads)
        assert answer.failover
    assert up(predictor) == [False, True]


def test_a_version_that_one_server_lacks_is_asked_of_the_other(
    told: Callable[..., Told], over: Make
) -> None:
    both, one = told(), told({1: random_weights(1)})
    predictor = over([both, one])
    for version in (1, 2):
        context = predictor.encode(CONTEXT, 1, version)
        for _ in range(6):
            assert good(predictor.predict(FEATURES, context), version)
    assert up(predictor) == [True, True]
    with pytest.raises(ModelRejected, match="not found"):
        predictor.encode(CONTEXT, 1, 9)
    assert up(predictor) == [True, True]


def test_what_is_wrong_with_the_request_is_said_at_once_and_sets_nobody_aside(
    told: Callable[..., Told], over: Make
) -> None:
    servers = [told(mode=grpc.StatusCode.INVALID_ARGUMENT), told()]
    predictor = over(servers)
    with pytest.raises(ModelRejected, match="as told"):
        predictor.encode(CONTEXT, 1, 1)
    assert [server.asked for server in servers] == [1, 0]
    assert up(predictor) == [True, True]
    strange = Embedded(5, 1, np.zeros(64, np.float32), np.zeros(HIDDEN, np.float32))
    with pytest.raises(ModelRejected, match="encode it again"):
        predictor.predict(FEATURES, strange)


@pytest.mark.promise("P7")
def test_in_a_total_outage_the_attempts_are_bounded_by_the_budget(
    told: Callable[..., Told], over: Make
) -> None:
    servers = [told(), told(), told()]
    predictor = over(servers[:2], (servers[2],), budget=RetryBudget(share=0.1, burst=5))
    context = predictor.encode(CONTEXT, 1, 1)
    for _ in range(6):
        predictor.predict(FEATURES, context)
    before = sum(server.counts["Predict"] for server in servers)
    for server in servers:
        server.mode = grpc.StatusCode.UNAVAILABLE
    requests = 200
    for _ in range(requests):
        with pytest.raises(ModelUnavailable):
            predictor.predict(FEATURES, context)
    attempts = sum(server.counts["Predict"] for server in servers) - before
    assert requests <= attempts <= requests * 1.1 + 5
    for server in servers:
        server.mode = "well"
    until(lambda: all(up(predictor)), "all are back")
    assert good(predictor.predict(FEATURES, context))


def test_without_a_budget_left_the_edge_answers_and_no_server_is_asked_twice(
    told: Callable[..., Told], over: Make, tmp_path: Path
) -> None:
    servers = [told(), told()]
    stopped = real_server(tmp_path)
    stopped.stop(0)
    budget = RetryBudget(share=0.0, burst=0.0)
    predictor = over(servers, edge=edge_of(tmp_path), budget=budget)
    context = predictor.encode(CONTEXT, 1, 1)
    before = sum(server.counts["Predict"] for server in servers)
    for server in servers:
        server.mode = grpc.StatusCode.UNAVAILABLE
    for _ in range(3):
        answer = predictor.answer(FEATURES, context)
        assert good(answer.heads)
        assert answer.failover
    assert sum(server.counts["Predict"] for server in servers) - before == 2
    assert predictor.report()["retries"] == 0


def test_one_client_s_attempts_are_bounded_as_well(told: Callable[..., Told]) -> None:
    server = told(mode=grpc.StatusCode.UNAVAILABLE)
    budget = RetryBudget(share=0.1, burst=3)
    alone = TfServingPredictor(server.address, MODEL, timeout_s=5.0, budget=budget)
    for _ in range(20):
        with pytest.raises(ModelUnavailable):
            alone.status()
    assert 20 <= server.asked <= 20 * 1.1 + 3
    alone.close()


def test_labels_are_the_first_site_s_and_the_last_known_hold_while_it_is_away(
    told: Callable[..., Told], over: Make
) -> None:
    first, second = told(), told({1: random_weights(1)})
    predictor = over([first], (second,))
    assert predictor.labels() == LABELS
    first.mode = grpc.StatusCode.UNAVAILABLE
    context = predictor.encode(CONTEXT, 1, 1)
    assert predictor.answer(FEATURES, context).failover
    assert predictor.labels() == LABELS
    fresh = over([first], (second,))
    assert fresh.labels() == {"stable": 1}


def test_a_context_is_encoded_once_and_the_oldest_are_forgotten(
    told: Callable[..., Told], over: Make
) -> None:
    server = told()
    predictor = over([server])
    first = predictor.encode(CONTEXT, 0, 1)
    asked = server.asked
    assert predictor.encode(CONTEXT, 0, 1) is first
    assert server.asked == asked
    for number in range(1, 20):
        predictor.encode(CONTEXT, number, 1)
    with pytest.raises(ModelRejected, match="encode it again"):
        predictor.predict(FEATURES, first)


def test_a_context_that_is_used_again_is_not_the_oldest(
    told: Callable[..., Told], over: Make
) -> None:
    predictor = over([told()])
    first = predictor.encode(CONTEXT, 0, 1)
    for number in range(1, 20):
        predictor.encode(CONTEXT, 0, 1)
        predictor.encode(CONTEXT, number, 1)
        assert good(predictor.predict(FEATURES, first))


def test_the_prober_ends_with_the_predictor(told: Callable[..., Told], over: Make) -> None:
    hung, well = told(), told()
    predictor = over([hung, well], timeout_s=1.0)
    hung.mode = "hang"
    context = predictor.encode(CONTEXT, 1, 1)
    for _ in range(2):
        predictor.predict(FEATURES, context)

    def probing() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "model-server-prober"]

    assert probing()
    predictor.close()
    assert not probing()
    with pytest.raises(ModelError):
        predictor.predict(FEATURES, context)


@pytest.mark.parametrize(
    ("more", "kind"),
    [({}, TfServingPredictor), ({"replicas": ["127.0.0.1:2"]}, BalancedPredictor)],
)
def test_one_address_has_a_plain_client(more: Mapping[str, Any], kind: type) -> None:
    made = client(ModelServerSettings(address="127.0.0.1:1", **more))
    assert isinstance(made, kind)
    made.close()


def test_only_nonsense_everywhere_is_said_to_be_nonsense(
    told: Callable[..., Told], over: Make
) -> None:
    servers = [told(), told()]
    predictor = over(servers)
    context = predictor.encode(CONTEXT, 1, 1)
    for server in servers:
        server.mode = "nan"
    with pytest.raises(ModelInvalid, match="NaN"):
        predictor.predict(FEATURES, context)


def test_servers_beyond_this_machine_are_called_with_tls_and_shown_a_certificate(
    tmp_path: Path,
) -> None:
    root = tmp_path / "models"
    for number in LABELS.values():
        write_version(root / MODEL, number, random_weights(number))
    options = ServerOptions(
        model_name=MODEL,
        model_base_path=str(root / MODEL),
        ssl_config_file=str(ssl_file(tmp_path, verify=True)),
    )
    server = start(options, models_for(options), ("127.0.0.1:0",))
    for name, pem in (("ca", AUTHORITY.pem), ("cert", CLIENT.pem), ("key", CLIENT.key_pem)):
        (tmp_path / name).write_text(pem)
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    settings = ModelServerSettings(
        address=server.address, replicas=(server.address,), timeout_s=10.0, tls=files
    )
    made = [client(settings), single(settings)]
    for predictor in made:
        heads = predictor.predict(FEATURES, predictor.encode(CONTEXT, 1, 2))
        assert good(heads, 2)
    plain = single(settings.model_copy(update={"tls": None, "timeout_s": 0.5}))
    with pytest.raises(ModelUnavailable):
        plain.labels()
    for predictor in (*made, plain):
        predictor.close()
    server.stop(0)
    (tmp_path / "ca").unlink()
    with pytest.raises(InvalidSettings, match="ca"):
        client(settings)
