"""Any order of versions, failures, policies, labels and reloads keeps the lifecycle's promises."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from relentless.serving.model_server.config import ModelConfig
from relentless.serving.model_server.lifecycle.manager import Manager
from relentless.serving.model_server.lifecycle.rules import RETRY_S, Rules
from relentless.serving.model_server.lifecycle.servable import Servable
from relentless.serving.model_server.lifecycle.versions import Policy, State, scan
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.tensor_proto import RawTensor

MODELS = ("a", "b")
BASES = ("p", "q")
LABELS = ("stable", "canary")
NUMBERS = st.integers(0, 4)
POLICIES = st.one_of(
    st.builds(Policy, st.just("latest"), count=st.integers(1, 3)),
    st.just(Policy("all")),
    st.builds(Policy, st.just("specific"), versions=st.frozensets(NUMBERS, min_size=1)),
)


class Session:
    """What a fake load gives: it knows where it came from and whether it was closed."""

    signatures: dict[str, Any]

    def __init__(self, folder: Path) -> None:
        self.signatures = {}
        self.folder = folder
        self.open = True

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        assert self.open, "a closed session was used"
        return []

    def close(self) -> None:
        assert self.open, "a session was closed twice"
        self.open = False


class Lifecycle(RuleBasedStateMachine):
    """A manager over real folders with a fake loader and a clock that only moves when told."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.broken: set[tuple[str, int]] = set()
        self.sessions: list[Session] = []
        self.configs: dict[str, ModelConfig] = {}
        self.leases: list[tuple[Any, Servable]] = []

    @initialize(labels=st.sampled_from(["available", "unassigned", "any"]))
    def begin(self, labels: Any) -> None:
        self.rules = Rules(labels=labels, retries=2)
        self.manager = Manager(self.load, lambda: self.now, self.rules)
        self.manager._drain.seconds = 0.0
        for name, base in zip(MODELS, BASES, strict=True):
            self.put(base, 1, broken=False)
            self.configs[name] = ModelConfig(name, self.root / base)
        self.manager.configure(self.configs.values())

    def load(self, name: str, version: int, folder: Path) -> Session:
        if (folder.parent.name, version) in self.broken:
            raise TFError(9, f"{folder} is broken")
        self.sessions.append(Session(folder))
        return self.sessions[-1]

    @rule(base=st.sampled_from(BASES), number=NUMBERS, broken=st.booleans())
    def put(self, base: str, number: int, broken: bool) -> None:
        (self.root / base / str(number)).mkdir(parents=True, exist_ok=True)
        (self.broken.add if broken else self.broken.discard)((base, number))

    @rule(base=st.sampled_from(BASES), number=NUMBERS)
    def remove(self, base: str, number: int) -> None:
        shutil.rmtree(self.root / base / str(number), ignore_errors=True)

    @rule(base=st.sampled_from(BASES), emptied=st.booleans())
    def lose_base(self, base: str, emptied: bool) -> None:
        shutil.rmtree(self.root / base, ignore_errors=True)
        if emptied:
            (self.root / base).mkdir()

    @rule(seconds=st.sampled_from([0.0, 1.0, RETRY_S, 10 * RETRY_S]))
    def poll(self, seconds: float) -> None:
        self.now += seconds
        before = {name: self.manager.available(name) for name in MODELS}
        self.manager.poll()
        for name in MODELS:
            self.check_settled(name, before[name])

    @rule(name=st.sampled_from(MODELS), base=st.sampled_from(BASES), policy=POLICIES)
    def serve(self, name: str, base: str, policy: Policy) -> None:
        labels = self.configs[name].labels if name in self.configs else {}
        self.reload(self.configs | {name: ModelConfig(name, self.root / base, policy, labels)})

    @rule(name=st.sampled_from(MODELS), label=st.sampled_from(LABELS), number=NUMBERS)
    def label(self, name: str, label: str, number: int) -> None:
        if config := self.configs.get(name):
            labels = {**config.labels, label: number}
            self.reload(self.configs | {name: replace(config, labels=labels)})

    @rule(name=st.sampled_from(MODELS))
    def drop(self, name: str) -> None:
        self.reload({other: c for other, c in self.configs.items() if other != name})

    def reload(self, configs: dict[str, ModelConfig]) -> None:
        ahead = [
            (name, label)
            for name, config in configs.items()
            for label, number in config.labels.items()
            if number not in self.manager.available(name) and not self.may(name, label, number)
        ]
        before = {name: self.manager.available(name) for name in MODELS}
        try:
            self.manager.configure(configs.values())
        except TFError as error:
            if error.code == 9:
                assert ahead, "a label was refused that is allowed"
                assert {n: self.manager.available(n) for n in MODELS} == before
                return
            assert error.code == 2
            new = configs.keys() - self.configs.keys()
            assert any(not self.manager.available(name) for name in new)
        assert not ahead, "a label was taken that is not allowed"
        self.configs = configs

    def may(self, name: str, label: str, number: int) -> bool:
        current = self.configs[name].labels if name in self.configs else {}
        return self.rules.labels == "any" or (
            self.rules.labels == "unassigned" and current.get(label, number) == number
        )

    @rule(name=st.sampled_from(MODELS))
    def borrow(self, name: str) -> None:
        if self.manager.available(name):
            lease = self.manager.use(name)
            self.leases.append((lease, lease.__enter__()))

    @rule()
    def give_back(self) -> None:
        while self.leases:
            lease, found = self.leases.pop()
            found.session.run({}, [])
            lease.__exit__(None, None, None)

    def check_settled(self, name: str, before: list[int]) -> None:
        config = self.configs.get(name)
        serving = set(self.manager.available(name))
        if config is None:
            assert not serving
            return
        found = scan(config.base)
        if found is None:
            assert serving == set(before)
            return
        aspired = config.policy.aspired(found)
        if not aspired:
            assert not serving
            return
        for number in aspired - serving:
            (version,) = self.manager.status(name, number)
            assert version.code == 9
        leaving = serving - aspired
        assert not leaving or (len(leaving) == 1 and not serving & aspired)
        if before:
            assert serving, "a served model was left without a version"

    @invariant()
    def what_serves_is_open_and_all_else_is_closed(self) -> None:
        wanted = [held.session for _, held in self.leases]
        for name in MODELS:
            for number in self.manager.available(name):
                with self.manager.use(name, number) as found:
                    wanted.append(found.session)
        assert all(session.open for session in wanted)  # type: ignore[attr-defined]
        assert all(s in wanted for s in self.sessions if s.open)

    @invariant()
    def requests_go_where_the_contract_says(self) -> None:
        for name in MODELS:
            serving = self.manager.available(name)
            if serving:
                with self.manager.use(name) as found:
                    assert found.version == max(serving)
            else:
                with pytest.raises(TFError, match=rf"Latest\({name}\)"):
                    self.manager.use(name).__enter__()
            for label in LABELS:
                self.check_label(name, label, serving)

    def check_label(self, name: str, label: str, serving: list[int]) -> None:
        config = self.configs.get(name)
        number = config.labels.get(label) if config else None
        if number in serving:
            with self.manager.use(name, label=label) as found:
                assert found.version == number
            return
        with pytest.raises(TFError) as refused:
            self.manager.use(name, label=label).__enter__()
        assert refused.value.code == (3 if number is None else 5)

    @invariant()
    def states_tell_what_serves(self) -> None:
        for name in MODELS:
            try:
                known = self.manager.status(name)
            except TFError:
                assert not self.manager.available(name)
                continue
            available = [v.number for v in known if v.state is State.AVAILABLE]
            assert sorted(available) == self.manager.available(name)
            assert [v.number for v in known] == sorted({v.number for v in known}, reverse=True)

    def teardown(self) -> None:
        self.give_back()
        self.manager.close(0.0)
        assert not any(session.open for session in self.sessions)
        shutil.rmtree(self.root)


@pytest.mark.promise("P7")
def test_any_history_keeps_the_promises(soak: bool) -> None:
    counts = settings(
        max_examples=1500 if soak else 60,
        stateful_step_count=40 if soak else 25,
        deadline=None,
    )
    run_state_machine_as_test(Lifecycle, settings=counts)
