"""The batching session around real SavedModels: many callers, one run, everybody's own answer."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relentless.serving.model_server.batching.options import BatchingOptions
from relentless.serving.model_server.batching.session import Batching, BatchingSession
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.session import SavedModelSession
from relentless.serving.tensor_proto import RawTensor

from ...saved_models import EMBEDDING, HIDDEN, F, Graph, random_weights, write_graph

PATIENCE_S = 30.0
NEVER = 3600.0
HALVED = np.arange(40, dtype=np.float32).reshape(20, 2)


class Watched:
    """A real session whose runs are counted, and can be held at a gate."""

    def __init__(self, folder: Path) -> None:
        self._session = SavedModelSession(folder)
        self.signatures = self._session.signatures
        self.runs: list[dict[str, tuple[int, ...]]] = []
        self.timeouts: list[float | None] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.closed = threading.Event()

    def run(
        self,
        feeds: Mapping[str, RawTensor],
        fetches: Sequence[str],
        timeout_s: float | None = None,
    ) -> list[RawTensor]:
        self.timeouts.append(timeout_s)
        self.runs.append({name: tensor.shape for name, tensor in feeds.items()})
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        return self._session.run(feeds, fetches)

    def close(self) -> None:
        self._session.close()
        self.closed.set()


class Told:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.inputs: list[int] = []
        self.waits: list[float] = []
        self.batches: list[tuple[int, int]] = []

    def batch_input(self, rows: int) -> None:
        self.inputs.append(rows)

    def queued(self, thread_pool: str, micros: float) -> None:
        self.waits.append(micros)

    def batch(self, rows: int, padded: int) -> None:
        self.batches.append((rows, padded))


def half_plus_two(folder: Path) -> Path:
    """Write y = x / 2 + 2, with a constant and a sum beside it that are no row for each row."""
    graph = Graph()
    x = graph.input("x", -1)
    half = graph.node("Mul", x, graph.const(np.array(0.5, np.float32)), name="half")
    y = graph.node("AddV2", half, graph.const(np.array(2, np.float32)), name="y")
    fixed = graph.const(np.ones((3, 1), np.float32))
    axes = graph.const(np.array([0, 1], "<i4"))
    total = graph.node("Sum", x, axes, Tidx=3)
    graph.meta.graph_def.node[-1].attr["keep_dims"].b = False
    graph.sign("serving_default", {"x": (x, -1)}, {"y": y})
    graph.sign("same", {"x": (x, -1)}, {"y": y})
    graph.sign("fixed", {"x": (x, -1)}, {"y": fixed})
    graph.sign("total", {"x": (x, -1)}, {"y": total})
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph.saved.SerializeToString())
    return folder


Open = Callable[..., BatchingSession]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(half_plus_two(tmp_path / "1"))


@pytest.fixture
def opened(watched: Watched) -> Iterator[Open]:
    made: list[tuple[Batching, BatchingSession]] = []

    def wrap(observer: Any = None, **options: Any) -> BatchingSession:
        batching = Batching(
            BatchingOptions(**({"num_batch_threads": 1} | options)), observer=observer
        )
        session = batching.wrap("m", 1, Path(), watched)
        assert isinstance(session, BatchingSession)
        made.append((batching, session))
        return session

    yield wrap
    watched.gate.set()
    for batching, session in made:
        session.close()
        batching.stop()


@pytest.fixture
def pool() -> Iterator[futures.ThreadPoolExecutor]:
    with futures.ThreadPoolExecutor(64) as made:
        yield made


def ask(
    session: BatchingSession,
    rows: Any,
    signature: str = "serving_default",
    timeout_s: float | None = None,
) -> Any:
    signed = session.signatures[signature]
    feed = RawTensor.of(np.asarray(rows, np.float32))
    fetches = [signed.outputs["y"].name]
    (answer,) = session.run({signed.inputs["x"].name: feed}, fetches, timeout_s)
    return answer.array()


def refusal(answer: "futures.Future[Any]") -> tuple[int, str]:
    with pytest.raises(TFError) as refused:
        answer.result(PATIENCE_S)
    return refused.value.code, str(refused.value)


def test_callers_that_wait_share_one_run_and_each_gets_its_own_answer(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=20, batch_timeout_s=NEVER)
    slices = [slice(at, at + 1 + at % 2) for at in range(0, 12)] + [slice(0, 2)]
    answers = [pool.submit(ask, session, HALVED[rows]) for rows in slices]
    for rows, answer in zip(slices, answers, strict=True):
        np.testing.assert_array_equal(answer.result(PATIENCE_S), HALVED[rows] / 2 + 2)
    assert watched.runs == [{"x:0": (20, 2)}]


def test_signatures_that_feed_and_fetch_the_same_share_a_queue(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=2, batch_timeout_s=NEVER)
    names = ("serving_default", "same")
    answers = [pool.submit(ask, session, HALVED[:1], name) for name in names]
    for answer in answers:
        np.testing.assert_array_equal(answer.result(PATIENCE_S), HALVED[:1] / 2 + 2)
    assert watched.runs == [{"x:0": (2, 2)}]


def test_a_batch_is_padded_and_the_padding_is_nobodys_answer(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    told = Told()
    session = opened(told, max_batch_size=8, batch_timeout_s=0.01, allowed_batch_sizes=(4, 8))
    np.testing.assert_array_equal(ask(session, HALVED[:3]), HALVED[:3] / 2 + 2)
    assert watched.runs == [{"x:0": (4, 2)}]
    assert (told.inputs, told.batches) == ([3], [(3, 4)])
    assert told.waits[0] >= 10_000


def test_inputs_of_several_lengths_are_padded_where_that_is_on(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=2, batch_timeout_s=NEVER, pad_variable_length_inputs=True)
    short, long = pool.submit(ask, session, [[2]]), pool.submit(ask, session, [[4, 6, 8]])
    assert short.result(PATIENCE_S).tolist() == [[3, 3, 3]]
    assert long.result(PATIENCE_S).tolist() == [[4, 5, 6]]
    assert watched.runs == [{"x:0": (2, 3)}]


def test_a_failing_batch_fails_each_of_its_requests_and_no_other(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=2, batch_timeout_s=NEVER)
    answers = [pool.submit(ask, session, rows) for rows in ([[1, 2]], [[1, 2, 3]])]
    code, words = refusal(answers[0])
    assert code == 9
    assert words.startswith("Tensors with name 'x:0' from different tasks have different shapes")
    assert refusal(answers[1]) == (code, words)
    assert not watched.runs
    assert ask(session, [[2], [4]]).tolist() == [[3], [4]]


def test_what_the_session_refuses_reaches_every_caller_of_the_batch(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=2, batch_timeout_s=NEVER)
    wrong = {"x:0": RawTensor.of(np.ones((1, 2), "<i8"))}
    answers = [pool.submit(session.run, wrong, ["y:0"]) for _ in range(2)]
    assert [refusal(answer)[0] for answer in answers] == [3, 3]
    assert len(watched.runs) == 1


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (
            "fixed",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
        ("total", "Batched output tensor has 0 dimensions"),
    ],
)
def test_an_output_without_a_row_for_each_row_cannot_be_shared(
    opened: Open, signature: str, words: str
) -> None:
    session = opened()
    with pytest.raises(TFError) as refused:
        ask(session, HALVED[:2], signature)
    assert (refused.value.code, str(refused.value)) == (9, words)


def test_feeds_and_fetches_of_no_signature_are_batched_too(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=5, batch_timeout_s=NEVER)
    feeds = [{"x:0": RawTensor.of(rows)} for rows in (HALVED[:2], HALVED[2:5])]
    answers = [pool.submit(session.run, feed, ["y:0", "half:0"]) for feed in feeds]
    for answer, rows in zip(answers, (HALVED[:2], HALVED[2:5]), strict=True):
        y, half = answer.result(PATIENCE_S)
        np.testing.assert_array_equal(y.array(), rows / 2 + 2)
        np.testing.assert_array_equal(half.array(), rows / 2)
    with pytest.raises(TFError, match="larger than maximum input batch size 5"):
        session.run({"x:0": RawTensor.of(HALVED[:6])}, ["half:0"])
    assert [run["x:0"] for run in watched.runs] == [(5, 2)]


def test_without_rows_or_past_the_most_queues_a_request_runs_alone(
    opened: Open, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relentless.serving.model_server.batching.session.MAX_QUEUES", 0)
    session = opened(max_batch_size=2, batch_timeout_s=NEVER)
    (half,) = session.run({"x:0": RawTensor.of(HALVED[:5])}, ["half:0"])
    assert half.shape == (5, 2)
    assert ask(session, HALVED[:0]).shape == (0, 2)
    assert [run["x:0"] for run in watched.runs] == [(5, 2), (0, 2)]


def test_a_request_over_the_limit_is_refused_and_split_where_that_is_on(
    opened: Open, watched: Watched
) -> None:
    session = opened(max_batch_size=4)
    with pytest.raises(TFError) as refused:
        ask(session, HALVED[:5])
    assert (refused.value.code, str(refused.value)) == (
        3,
        "Task size 5 is larger than maximum input batch size 4",
    )
    split = opened(
        max_batch_size=20,
        max_execution_batch_size=8,
        enable_large_batch_splitting=True,
    )
    np.testing.assert_array_equal(ask(split, HALVED), HALVED / 2 + 2)
    assert [run["x:0"] for run in watched.runs] == [(8, 2), (8, 2), (4, 2)]


def test_a_request_whose_time_is_over_is_not_run(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=4)
    watched.gate.clear()
    first = pool.submit(ask, session, HALVED[:1])
    assert watched.entered.acquire(timeout=PATIENCE_S)
    assert refusal(pool.submit(ask, session, HALVED[:2], timeout_s=0.02)) == (
        8,
        "Run() timeout exceeded while waiting in batching queue",
    )
    watched.gate.set()
    assert first.result(PATIENCE_S).shape == (1, 2)
    session.close()
    assert [run["x:0"] for run in watched.runs] == [(1, 2)]


def test_a_deadline_does_not_cut_off_a_batch_that_runs(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened()
    watched.gate.clear()
    answer = pool.submit(ask, session, HALVED[:1], timeout_s=0.02)
    assert watched.entered.acquire(timeout=PATIENCE_S)
    with pytest.raises(TimeoutError):
        answer.result(0.05)
    watched.gate.set()
    assert answer.result(PATIENCE_S).shape == (1, 2)


def test_a_batch_has_the_time_of_its_most_patient_caller(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=2, batch_timeout_s=NEVER)
    for times in ((20.0, 10.0), (20.0, None)):
        answers = [pool.submit(ask, session, HALVED[:1], timeout_s=time) for time in times]
        for answer in answers:
            assert answer.result(PATIENCE_S).shape == (1, 2)
    limited, unlimited = watched.timeouts
    assert limited is not None
    assert 10 < limited <= 20
    assert unlimited is None


def test_an_unload_drains_its_queue_and_loses_nothing(
    opened: Open, watched: Watched, pool: futures.ThreadPoolExecutor
) -> None:
    session = opened(max_batch_size=100, batch_timeout_s=NEVER)
    answers = [pool.submit(ask, session, HALVED[at : at + 1]) for at in range(10)]
    waiting, pause = session._queues[frozenset({"x:0"}), frozenset({"y:0"})], threading.Event()
    while waiting._batches[0].rows < 10:
        assert not pause.wait(0.001)
    session.close()
    session.close()
    assert watched.closed.is_set()
    for at, answer in enumerate(answers):
        np.testing.assert_array_equal(answer.result(PATIENCE_S), HALVED[at : at + 1] / 2 + 2)
    with pytest.raises(TFError, match="queue is closed"):
        ask(session, HALVED[:1])


def test_a_batch_that_outlives_the_unload_closes_the_session_when_it_ends(
    opened: Open,
    watched: Watched,
    pool: futures.ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relentless.serving.model_server.batching.session.CLOSE_S", 0.01)
    session = opened()
    watched.gate.clear()
    answer = pool.submit(ask, session, HALVED[:1])
    assert watched.entered.acquire(timeout=PATIENCE_S)
    session.close()
    assert not watched.closed.is_set()
    watched.gate.set()
    assert answer.result(PATIENCE_S).shape == (1, 2)
    assert watched.closed.wait(PATIENCE_S)


def test_all_versions_share_the_threads_and_each_has_its_own_queues(tmp_path: Path) -> None:
    batching = Batching(BatchingOptions(num_batch_threads=2, thread_pool_name="shared"))
    sessions = [
        batching.wrap("m", number, tmp_path, Watched(half_plus_two(tmp_path / str(number))))
        for number in (1, 2, 3)
    ]
    with futures.ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(ask, session, HALVED) for session in sessions * 4]
        for answer in answers:
            np.testing.assert_array_equal(answer.result(PATIENCE_S), HALVED / 2 + 2)
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("shared_")]
    assert sorted(names) == ["shared_0", "shared_1"]
    for session in sessions:
        session.close()
    batching.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shared_")]


def test_a_version_is_batched_by_its_own_file_where_that_is_on(tmp_path: Path) -> None:
    batching = Batching(BatchingOptions(num_batch_threads=1), per_model=True)
    plain = Watched(half_plus_two(tmp_path / "1"))
    assert batching.wrap("m", 1, tmp_path / "1", plain) is plain
    own = half_plus_two(tmp_path / "2")
    (own / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    session = batching.wrap("m", 2, own, Watched(own))
    assert isinstance(session, BatchingSession)
    with pytest.raises(TFError, match="larger than maximum input batch size 2"):
        ask(session, HALVED[:3])
    session.close()
    (own / "batching_params.pbtxt").write_text("max_batch_size: 2")
    with pytest.raises(TFError, match=r"It is written max_batch_size \{ value: 128 \}") as refused:
        batching.wrap("m", 2, own, plain)
    assert refused.value.code == 3
    plain.close()
    batching.stop()


@pytest.mark.parametrize("name", ["predict_folded", "serving_default", "encode_context"])
def test_the_network_answers_in_a_batch_what_it_answers_alone(
    tmp_path: Path, pool: futures.ThreadPoolExecutor, name: str
) -> None:
    write_graph(tmp_path / "1", random_weights(3))
    watched = Watched(tmp_path / "1")
    batching = Batching(BatchingOptions(32, NEVER, num_batch_threads=1))
    session = batching.wrap("m", 1, tmp_path / "1", watched)
    widths = {"features": F, "bias": HIDDEN, "context": EMBEDDING}
    signed = session.signatures[name]
    random = np.random.default_rng(1)
    table = {
        info.name: random.normal(
            size=(32, widths.get(alias) or info.tensor_shape.dim[1].size)
        ).astype(np.float32)
        for alias, info in signed.inputs.items()
    }
    fetches = [info.name for info in signed.outputs.values()]

    def row(at: int) -> dict[str, RawTensor]:
        return {feed: RawTensor.of(array[at : at + 1]) for feed, array in table.items()}

    whole = watched.run({feed: RawTensor.of(array) for feed, array in table.items()}, fetches)
    answers = [pool.submit(session.run, row(at), fetches) for at in range(32)]
    for at, answer in enumerate(answers):
        for mine, shared, alone in zip(
            answer.result(PATIENCE_S), whole, watched.run(row(at), fetches), strict=True
        ):
            np.testing.assert_allclose(mine.array(), shared.array()[at : at + 1], atol=1e-6)
            np.testing.assert_allclose(mine.array(), alone.array(), atol=1e-6)
    assert next(iter(watched.runs[1].values()))[0] == 32
    session.close()
    batching.stop()


def test_under_many_callers_every_answer_is_its_own(opened: Open, watched: Watched) -> None:
    session = opened(max_batch_size=16, batch_timeout_s=0.001, num_batch_threads=3)
    failures: list[str] = []

    def ask_often(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(60):
            rows = random.integers(-1000, 1000, (random.integers(1, 5), 2)).astype(np.float32)
            if not (ask(session, rows) == rows / 2 + 2).all():
                failures.append(f"{seed}: {rows}")

    callers = [threading.Thread(target=ask_often, args=(seed,)) for seed in range(12)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE_S)
    assert not failures
    assert len(watched.runs) < 12 * 60
