"""What a running server does with new versions, new configurations, deadlines and lost clients."""

import ctypes
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from relentless.serving.model_server.config import ModelConfig, common_root
from relentless.serving.model_server.main import models_for
from relentless.serving.model_server.options import ServerOptions
from relentless.serving.model_server.runtime.capi import Buffer, library, session_config
from relentless.serving.model_server.runtime.session_config import (
    REFERENCES,
    SessionConfig,
    is_small,
)
from relentless.serving.model_server.server import ModelServer, start
from relentless.serving.tensor_proto import RawTensor, pack
from relentless.serving.tf_protos import (
    meta_graph_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from ...saved_models import Graph
from ..by_flags import answer, config_text, refusal, reload, status, wait_for
from ..upstream_models import half_plus

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
UNKNOWN = grpc.StatusCode.UNKNOWN
AVAILABLE, LOADING, END = 30, 20, 50


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The base path of the only model, "default", with version 1."""
    half_plus(tmp_path / "models" / "two" / "1", 2.0)
    return tmp_path / "models" / "two"


@pytest.fixture
def server(two: Path) -> Iterator[ModelServer]:
    running = serve(model_base_path=str(two))
    yield running
    running.stop(0.1)


def serve(**flags: Any) -> ModelServer:
    options = ServerOptions(grpc_max_threads=4, **flags)
    return start(options, models_for(options), ("127.0.0.1:0",))


def test_a_reload_adds_removes_and_labels_models(server: ModelServer, two: Path) -> None:
    three = half_plus(two.parent / "three" / "5", 3.0).parent
    half_plus(two / "2", 4.0)
    response = reload(server.address, ("default", two), ("three", three))
    assert response.HasField("status")
    assert response.status.error_code == 0
    assert answer(server.address) == (5.0, 2)
    assert answer(server.address, version=1) == (3.0, 1)
    assert answer(server.address, "three") == (4.0, 5)
    assert refusal(server.address, label="stable") == (
        INVALID,
        "Unrecognized servable version label: stable",
    )
    reload(server.address, ("default", two), stable=1, canary=2)
    assert answer(server.address, label="stable") == (3.0, 1)
    assert answer(server.address, label="canary") == (5.0, 2)
    assert refusal(server.address, "three")[0] is NOT_FOUND
    assert status(server.address, "three")[5][0] == END


def test_a_label_of_a_version_that_was_unloaded_finds_nothing(
    server: ModelServer, two: Path
) -> None:
    reload(server.address, ("default", two), stable=1)
    (two / "1").rename(two.parent / "away")
    half_plus(two / "2", 4.0)
    server.manager.poll()
    assert refusal(server.address, label="stable") == (
        NOT_FOUND,
        "Servable not found for request: Specific(default, 1)",
    )
    assert answer(server.address) == (5.0, 2)


def test_labels_wait_for_their_versions_unless_the_flag_is_set(two: Path) -> None:
    ahead = serve(model_base_path=str(two), allow_version_labels_for_unavailable_models=True)
    reload(ahead.address, ("default", two), canary=2)
    assert refusal(ahead.address, label="canary")[0] is NOT_FOUND
    half_plus(two / "2", 4.0)
    ahead.manager.poll()
    assert answer(ahead.address, label="canary") == (5.0, 2)
    ahead.stop(0.1)
    plain = serve(model_base_path=str(two))
    with pytest.raises(grpc.RpcError) as refused:
        reload(plain.address, ("default", two), canary=3)
    assert refused.value.code() is PRECONDITION
    plain.stop(0.1)


def test_a_model_that_moves_to_another_folder_is_served_from_there(
    server: ModelServer, two: Path
) -> None:
    three = half_plus(two.parent / "three" / "1", 3.0).parent
    reload(server.address, ("default", three))
    assert answer(server.address) == (4.0, 1)
    (two.parent / "broken" / "1").mkdir(parents=True)
    reload(server.address, ("default", two.parent / "broken"))
    assert answer(server.address) == (4.0, 1)
    assert status(server.address) == {1: (AVAILABLE, 0, "")}


def test_a_new_model_that_does_not_load_is_the_reloads_error_and_nobody_elses(
    server: ModelServer, two: Path
) -> None:
    (two.parent / "bad" / "1").mkdir(parents=True)
    with pytest.raises(grpc.RpcError) as refused:
        reload(server.address, ("default", two), ("bad", two.parent / "bad"))
    assert refused.value.code() is UNKNOWN
    assert refused.value.details().startswith(
        "1 model(s) did not become available: {{{name: bad version: 1} due to error: NOT_FOUND: "
    )
    assert answer(server.address) == (3.0, 1)
    state, code, words = status(server.address, "bad")[1]
    assert (state, code) == (LOADING, 5)
    assert "Could not find SavedModel" in words


def test_a_load_that_was_tried_often_enough_has_ended(two: Path) -> None:
    server = serve(model_base_path=str(two), max_num_load_retries=1, load_retry_interval_micros=-1)
    (two / "2").mkdir()
    server.manager.poll()
    wait_for(lambda: status(server.address)[2][0] == END)
    assert status(server.address)[2][1] == 5
    assert answer(server.address) == (3.0, 1)
    server.stop(0.1)


def test_a_reload_stays_under_the_root(server: ModelServer, two: Path, tmp_path: Path) -> None:
    outside = half_plus(tmp_path / "elsewhere" / "deep" / "m" / "1", 3.0).parent
    link = two.parent / "link"
    link.symlink_to("/etc")
    for path in (Path("/etc"), two.parent / ".." / ".." / ".." / "..", link):
        with pytest.raises(grpc.RpcError) as refused:
            reload(server.address, ("default", path))
        assert refused.value.code() is INVALID
        assert "--model_root" in refused.value.details()
    assert answer(server.address) == (3.0, 1)
    wider = serve(model_base_path=str(two), model_root=str(tmp_path))
    reload(wider.address, ("default", outside))
    assert answer(wider.address) == (4.0, 1)
    wider.stop(0.1)


def test_a_reload_of_no_list_keeps_everything(server: ModelServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    assert answer(server.address) == (3.0, 1)
    reload(server.address)
    assert refusal(server.address)[0] is NOT_FOUND


def test_a_model_keeps_its_platform(server: ModelServer, two: Path) -> None:
    for name, words in (
        (
            "default",
            "Illegal to change a model's platform. For model default platform was tensorflow and "
            "new platform requested is caffe",
        ),
        ("new", "Model new requests unsupported platform caffe"),
    ):
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name=name, base_path=str(two), model_platform="caffe"
        )
        with grpc.insecure_channel(server.address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.HandleReloadConfigRequest(request, timeout=20)
        assert (refused.value.code(), refused.value.details()) == (INVALID, words)
    assert answer(server.address) == (3.0, 1)


def test_a_reload_tells_by_how_much_counters_rose(server: ModelServer, two: Path) -> None:
    reload(server.address)
    loads, latency, no = (
        "/tensorflow/cc/saved_model/load_attempt_count",
        "/tensorflow/serving/request_latency",
        "/no/such/counter",
    )
    request = model_management_pb2.ReloadConfigRequest(metric_names=[loads, latency, no])
    request.config.model_config_list.config.add(
        name="default", base_path=str(two), model_platform="tensorflow"
    )
    with grpc.insecure_channel(server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        response = stub.HandleReloadConfigRequest(request, timeout=20)
    rises = {metric.name: metric.int64_value_increase for metric in response.metric}
    assert rises == {loads: 1, latency: 0, no: 0}


def test_a_policy_that_names_no_version_unloads_all(server: ModelServer, two: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    entry = request.config.model_config_list.config.add(
        name="default", base_path=str(two), model_platform="tensorflow"
    )
    entry.model_version_policy.specific.SetInParent()
    with grpc.insecure_channel(server.address) as channel:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(
            request, timeout=20
        )
    assert refusal(server.address)[0] is NOT_FOUND


def test_a_reload_waits_for_no_other_models_load(two: Path) -> None:
    server = serve(model_base_path=str(two), num_load_threads=2)
    begun, go_on = threading.Event(), threading.Event()
    load = server.manager._load

    def slow(name: str, version: int, folder: Path) -> Any:
        if version == 2:
            begun.set()
            assert go_on.wait(60)
        return load(name, version, folder)

    server.manager._load = slow
    half_plus(two / "2", 4.0)
    server.manager.poll(patient=False)
    assert begun.wait(60)
    assert status(server.address)[2] == (LOADING, 0, "")
    three = half_plus(two.parent / "three" / "1", 3.0).parent
    reload_one(server, two, three)
    assert answer(server.address, "three") == (4.0, 1)
    assert answer(server.address) == (3.0, 1)
    go_on.set()
    wait_for(lambda: answer(server.address) == (5.0, 2))
    server.stop(0.1)


def reload_one(server: ModelServer, two: Path, three: Path) -> None:
    """Add a model, and leave the other as it is configured."""
    server.manager.configure([ModelConfig("default", two), ModelConfig("three", three)])


def test_versions_of_many_models_swap_under_load_and_no_request_fails(
    tmp_path: Path, soak: bool
) -> None:
    names = ("a", "b", "c")
    for name in names:
        half_plus(tmp_path / name / "1", 1.0)
    config = tmp_path / "models.config"
    config.write_text(config_text(*((name, tmp_path / name) for name in names)))
    server = serve(model_config_file=str(config))
    stop, failures, seen = threading.Event(), list[BaseException](), dict[str, set[int]]()

    def keep_asking(name: str) -> None:
        with grpc.insecure_channel(server.address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = request_of(name, np.array([0.0], np.float32))
            try:
                while not stop.is_set():
                    response = stub.Predict(request, timeout=20)
                    version = response.model_spec.version.value
                    assert list(response.outputs["y"].float_val) == [float(version)]
                    seen.setdefault(name, set()).add(version)
            except BaseException as error:
                failures.append(error)

    callers = [threading.Thread(target=keep_asking, args=(name,)) for name in names]
    for caller in callers:
        caller.start()
    for number in range(2, 60 if soak else 8):
        for name in names:
            half_plus(tmp_path / name / str(number), float(number))
        server.manager.poll()
    stop.set()
    for caller in callers:
        caller.join(60)
    server.stop(0.1)
    assert not failures
    assert all(len(versions) > 1 for versions in seen.values())


def request_of(name: str, x: np.ndarray[Any, Any]) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(pack(RawTensor.of(x)))
    return request


def slow_model(folder: Path) -> Path:
    """A model that multiplies a large matrix by itself, again and again."""
    g = Graph()
    x = g.input("x", 700)
    y = x
    for _ in range(40):
        y = g.node("MatMul", y, x)
    g.sign_as("serving_default", "", {"x": x}, {"y": y})
    return g.write(folder)


def test_a_request_whose_time_is_up_is_not_run(tmp_path: Path) -> None:
    slow_model(tmp_path / "m" / "1")
    options = ServerOptions(grpc_max_threads=1, model_base_path=str(tmp_path / "m"))
    server = start(options, models_for(options), ("127.0.0.1:0",))
    ran: list[float | None] = []
    with server.manager.use("default") as found:
        real = found.session.run

        def counted(feeds: Any, fetches: Any, timeout_s: float | None = None) -> Any:
            ran.append(timeout_s)
            return real(feeds, fetches, timeout_s)

        found.session.run = counted  # type: ignore[method-assign]
    large = request_of("default", np.zeros((700, 700), np.float32))
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        first = stub.Predict.future(large, timeout=60)
        wait_for(lambda: len(ran) == 1)
        late = stub.Predict.future(large, timeout=0.01)
        given_up = stub.Predict.future(large, timeout=60)
        given_up.cancel()
        assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        first.result()
        stub.Predict(large, timeout=60)
    server.stop(1.0)
    assert len(ran) == 2
    assert all(left is not None and 50 < left < 70 for left in ran)


def test_a_small_model_runs_in_its_callers_thread_and_others_in_pools(tmp_path: Path) -> None:
    small = half_plus(tmp_path / "small", 2.0)
    g = Graph()
    x = g.input("x", 1)
    g.node("Switch", x, g.const(np.array(True)))
    g.sign_as("serving_default", "", {"x": x}, {"y": x})
    branching = g.write(tmp_path / "branching")
    assert is_small(small)
    assert not is_small(branching)
    assert not is_small(tmp_path / "missing")
    (small / "variables").mkdir()
    with (small / "variables" / "data").open("wb") as file:
        file.truncate(5 << 20)
    assert not is_small(small)
    own = half_plus(tmp_path / "own", 2.0)
    assert SessionConfig().for_folder(small) == SessionConfig().for_folder(branching)
    assert SessionConfig().for_folder(own) == session_config()


def test_every_operation_that_makes_references_has_pools() -> None:
    tf = library()
    tf.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    listed = tf.TF_GetAllOpList().contents
    known = meta_graph_pb2.MetaGraphDef().meta_info_def.stripped_op_list
    known.ParseFromString(ctypes.string_at(listed.data, listed.length))
    makers = {
        op.name
        for op in known.op
        if any(arg.is_ref for arg in op.output_arg) and not any(arg.is_ref for arg in op.input_arg)
    }
    assert {name for name in makers if not name.startswith("Ref")} == REFERENCES


def test_a_models_tags_and_session_can_be_set(tmp_path: Path) -> None:
    folder = half_plus(tmp_path / "m" / "1", 2.0)
    session = tmp_path / "session.config"
    session.write_text("intra_op_parallelism_threads: 1 inter_op_parallelism_threads: 2")
    server = serve(
        model_base_path=str(folder.parent),
        tensorflow_session_config_file=str(session),
        tensorflow_inter_op_parallelism=1,
    )
    assert answer(server.address) == (3.0, 1)
    server.stop(0.1)


def test_the_root_is_what_holds_the_models_and_what_nobody_else_can_reach(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    (folder / "models" / "m").mkdir(parents=True)
    configs = [ModelConfig("m", folder / "models" / "m")]
    folder.chmod(0o755)
    assert common_root(configs, tmp_path) == (folder / "models").resolve()
    folder.chmod(0o700)
    assert common_root(configs, tmp_path) == folder.resolve()
    assert common_root([], tmp_path) == tmp_path
    both = [*configs, ModelConfig("n", folder / "others" / "n")]
    folder.parent.chmod(0o755)
    assert common_root(both, tmp_path) == folder.resolve()
