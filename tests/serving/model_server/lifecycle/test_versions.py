"""Versions come and go, and a good one always serves."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relentless.proto.errors import InvalidSettings
from relentless.serving.model_server.config import (
    MODELS_CONFIG,
    ModelConfig,
    read_config,
    under,
)
from relentless.serving.model_server.lifecycle.manager import Manager
from relentless.serving.model_server.lifecycle.rules import LOAD_RETRIES, RETRY_S, Rules
from relentless.serving.model_server.lifecycle.versions import (
    Policy,
    Standing,
    State,
    next_action,
    scan,
)
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor

LOADED: list[int] = []


class FakeSession:
    """A session that only knows whether it was closed."""

    signatures: dict[str, Any]

    def __init__(self) -> None:
        self.signatures = {}
        self.closed = threading.Event()

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        assert not self.closed.is_set(), "a closed session was used"
        return []

    def close(self) -> None:
        self.closed.set()


class Shop:
    """A base path, a manager over it, and what each version's load does."""

    def __init__(self, base: Path, policy: Policy = Policy(), rules: Rules = Rules()) -> None:  # noqa: B008
        self.base = base
        self.now = 0.0
        self.broken: set[int] = set()
        self.error: Callable[[str], Exception] = lambda words: TFError(9, words)
        self.entered: Callable[[int], object] = bool
        self.loads: list[int] = []
        self.sessions: dict[int, FakeSession] = {}
        self.config = ModelConfig("m", base, policy)
        self.manager = Manager(self.load, clock=lambda: self.now, rules=rules)

    def load(self, name: str, version: int, folder: Path) -> FakeSession:
        self.loads.append(version)
        self.entered(version)
        if version in self.broken:
            raise self.error(f"version {version} is broken")
        self.sessions[version] = FakeSession()
        return self.sessions[version]

    def put(self, *versions: int) -> None:
        for version in versions:
            (self.base / str(version)).mkdir(parents=True)

    def serving(self, label: str | None = None) -> int:
        with self.manager.use("m", label=label) as found:
            return found.version

    def states(self) -> dict[int, State]:
        return {v.number: v.state for v in self.manager.status("m")}


@pytest.mark.parametrize(
    ("policy", "found", "aspired"),
    [
        (Policy(), {1, 2, 10}, {10}),
        (Policy("latest", count=2), {1, 2, 10}, {2, 10}),
        (Policy("all"), {1, 2}, {1, 2}),
        (Policy("specific", versions=frozenset({1, 3})), {1, 2}, {1}),
        (Policy("specific"), {1, 2}, set()),
        (Policy(), set(), set()),
    ],
)
def test_the_policy_picks_versions(policy: Policy, found: set[int], aspired: set[int]) -> None:
    assert policy.aspired(found) == aspired


def test_only_integer_folders_are_versions(tmp_path: Path) -> None:
    for name in ("1", "00000123", ".tmp-3", "v4", "-5", "x", "7", "9.denied", "1_0"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    found = scan(tmp_path)
    assert found is not None
    assert sorted(found) == [-5, 1, 7, 123]
    assert scan(tmp_path / "missing") is None


@pytest.mark.promise("P7")
@settings(max_examples=300, deadline=None)
@given(
    standing=st.dictionaries(
        st.integers(0, 9),
        st.builds(
            Standing, st.booleans(), st.sampled_from([State.START, State.AVAILABLE, State.END])
        ),
        max_size=6,
    ),
    fails=st.sets(st.integers(0, 9)),
)
def test_following_the_policy_never_leaves_a_served_model_without_a_version(
    standing: dict[int, Standing], fails: set[int]
) -> None:
    served = any(s.state is State.AVAILABLE for s in standing.values())
    wanted = any(s.aspired for s in standing.values())
    for _ in range(50):
        if (action := next_action(standing)) is None:
            break
        loads = action.kind == "load"
        state = State.END if not loads or action.version in fails else State.AVAILABLE
        standing = standing | {action.version: standing[action.version]._replace(state=state)}
        if served and wanted:
            assert any(s.state is State.AVAILABLE for s in standing.values())
    else:
        pytest.fail("the policy does not come to an end")


def test_a_new_version_takes_over_and_the_old_one_is_drained_first(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    swap = threading.Thread(target=shop.manager.poll)
    with shop.manager.use("m") as inside:
        shop.put(2)
        swap.start()
        while shop.serving() != 2:
            pass
        assert not shop.sessions[1].closed.wait(0.05)
        inside.session.run({}, [])
    swap.join(30)
    assert shop.sessions[1].closed.is_set()
    assert shop.states() == {2: State.AVAILABLE, 1: State.END}


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    ("error", "code"), [(lambda words: TFError(9, words), 9), (ValueError, 2), (MemoryError, 2)]
)
def test_a_version_that_fails_to_load_leaves_the_old_one_serving(
    tmp_path: Path, error: Callable[[str], Exception], code: int
) -> None:
    shop = Shop(tmp_path)
    shop.error = error
    shop.put(1)
    shop.manager.configure([shop.config])
    shop.broken.add(2)
    shop.put(2)
    shop.manager.poll()
    assert shop.serving() == 1
    assert shop.states() == {2: State.LOADING, 1: State.AVAILABLE}
    (failed,) = shop.manager.status("m", 2)
    assert (failed.code, failed.message) == (code, "version 2 is broken")


def test_a_failed_load_is_tried_again_a_few_times(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    shop.broken.add(2)
    shop.put(2)
    for _ in range(20):
        shop.manager.poll()
        shop.manager.poll()
        shop.now += RETRY_S
    assert shop.loads.count(2) == 1 + LOAD_RETRIES
    shop.broken.clear()
    (tmp_path / "2").rmdir()
    shop.manager.poll()
    shop.put(2)
    shop.manager.poll()
    assert shop.manager.available("m") == [2]


def test_a_version_whose_cause_of_failure_went_away_serves(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    shop.broken.add(2)
    shop.put(2)
    shop.manager.poll()
    shop.broken.clear()
    shop.now += RETRY_S
    shop.manager.poll()
    assert shop.manager.available("m") == [2]


def test_an_older_version_comes_back_when_the_newer_folder_goes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1, 2)
    shop.manager.configure([shop.config])
    assert shop.manager.available("m") == [2]
    (tmp_path / "2").rmdir()
    shop.manager.poll()
    assert shop.manager.available("m") == [1]


def test_a_missing_base_path_unloads_nothing_and_an_empty_one_everything(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "m")
    shop.put(1)
    shop.manager.configure([shop.config])
    (tmp_path / "m").rename(tmp_path / "away")
    shop.manager.poll()
    assert shop.manager.available("m") == [1]
    (tmp_path / "m").mkdir()
    shop.manager.poll()
    assert shop.manager.available("m") == []
    with pytest.raises(TFError, match=r"Servable not found for request: Latest\(m\)"):
        shop.serving()


def test_labels_go_to_available_versions_only(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Policy("all"))
    shop.put(1)
    shop.manager.configure([shop.config])
    ahead = ModelConfig("m", tmp_path, Policy("all"), {"stable": 1, "canary": 2})
    with pytest.raises(TFError, match="Request to assign label to version 2 of model m") as refused:
        shop.manager.configure([ahead])
    assert refused.value.code == 9
    with pytest.raises(TFError, match="Unrecognized servable version label: stable"):
        shop.serving("stable")
    shop.put(2)
    shop.manager.poll()
    shop.manager.configure([ahead])
    assert shop.serving("canary") == 2


def test_a_new_label_may_come_before_its_version_where_that_is_allowed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Policy("all"), Rules(labels="unassigned"))
    shop.put(1)
    ahead = ModelConfig("m", tmp_path, Policy("all"), {"stable": 1, "canary": 2})
    shop.manager.configure([ahead])
    with pytest.raises(TFError, match=r"Specific\(m, 2\)"):
        shop.serving("canary")
    shop.put(2)
    shop.manager.poll()
    assert shop.serving("canary") == 2
    moved = ModelConfig("m", tmp_path, Policy("all"), {"stable": 3})
    with pytest.raises(TFError, match="version 3 of model m"):
        shop.manager.configure([moved])


def test_any_label_may_move_to_a_version_to_come_where_that_is_forced(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Policy("all"), Rules(labels="any"))
    shop.put(1)
    for number in (1, 3):
        shop.manager.configure([ModelConfig("m", tmp_path, Policy("all"), {"stable": number})])
    with pytest.raises(TFError, match=r"Specific\(m, 3\)"):
        shop.serving("stable")


def test_a_version_that_left_while_it_loaded_is_never_lent(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    begun, gate = threading.Event(), threading.Event()
    beside: dict[int, list[int]] = {}

    def entered(version: int) -> None:
        beside[version] = shop.manager.available("m")
        if version == 2:
            begun.set()
            assert gate.wait(30)

    shop.entered = entered
    shop.put(2)
    shop.manager.poll(patient=False)
    assert begun.wait(30)
    shop.put(3)
    shop.manager.poll(patient=False)
    gate.set()
    shop.manager.poll()
    assert beside == {2: [1], 3: [1]}
    assert shop.sessions[2].closed.is_set()
    assert shop.states() == {3: State.AVAILABLE, 2: State.END, 1: State.END}


def test_a_model_that_the_new_configuration_lacks_is_unloaded(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    shop.manager.configure([])
    assert shop.sessions[1].closed.is_set()
    assert shop.states() == {1: State.END}


def test_a_new_configuration_waits_for_no_request_that_does_not_end(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    with shop.manager.use("m"):
        shop.manager.configure([])
        assert shop.manager.available("m") == []
        assert shop.states() == {1: State.UNLOADING}
    shop.manager.configure([shop.config])
    assert shop.serving() == 1
    assert shop.loads == [1, 1]


def test_a_model_without_a_version_is_an_error_at_the_start(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with pytest.raises(TFError, match=r"1 model\(s\) did not become available: \{\{name: m\}, \}"):
        shop.manager.configure([shop.config])


@pytest.mark.promise("P7")
def test_swaps_under_load_never_find_zero_versions(tmp_path: Path, soak: bool) -> None:
    swaps = 300 if soak else 40
    shop = Shop(tmp_path)
    shop.put(1)
    shop.manager.configure([shop.config])
    stop, failures, served = threading.Event(), list[BaseException](), [0]

    def ask() -> None:
        try:
            while not stop.is_set():
                with shop.manager.use("m") as found:
                    found.session.run({}, [])
                served[0] += 1
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    for number in range(2, swaps + 2):
        if number % 5 == 0:
            shop.broken.add(number)
        shop.put(number)
        shop.manager.poll()
    stop.set()
    for caller in callers:
        caller.join(30)
    assert not failures
    assert served[0] > 0
    open_now = [number for number, s in shop.sessions.items() if not s.closed.is_set()]
    assert open_now == shop.manager.available("m")


def test_the_shipped_configuration_reads_as_tf_serving_reads_it(tmp_path: Path) -> None:
    (config,) = read_config(MODELS_CONFIG, under(tmp_path))
    assert config.name == "relentless_financial"
    assert config.base == tmp_path.resolve() / "relentless_financial"
    assert config.policy == Policy("specific", versions=frozenset({1, 2, 3}))
    assert config.labels == {"stable": 1, "canary": 2}


@pytest.mark.parametrize(
    "text",
    [
        "optimization {}",
        "model_config_list { config { name: 'm' base_path: '/models/m' max_batch_size: 8 } }",
        "model_config_list { config { name: 'm' base_path: 'relative' } }",
        "model_config_list { config { name: 'm' base_path: '/models/../../etc' "
        "model_platform: 'tensorflow' } }",
    ],
)
def test_a_configuration_in_another_dialect_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=r"models\.config"):
        read_config(path, under(tmp_path))
