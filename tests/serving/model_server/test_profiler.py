"""ProfilerService: what ran for a while, in the form that TensorBoard reads."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relentless.proto.gen import profiler_pb2
from relentless.serving.model_server.codes import ALREADY_EXISTS
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.recording import MOST_BYTES, Recorder, Run
from relentless.serving.model_server.xspace import HOST_PLANE, space
from relentless.serving.tf_protos import config_pb2, xplane_pb2

from .by_flags import Server, answer, started
from .upstream_models import half_plus

LIMIT_S = 30.0
OPERATIONS = ("Mul", "AddV2", "Const", "_Arg", "_Retval", "NoOp")
Request = profiler_pb2.ProfileRequest


@pytest.fixture(scope="module", params=["", "--tensorflow_session_parallelism=2"])
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Server]:
    """A server with a session of one thread, then with pools: only these note operations."""
    folder = tmp_path_factory.mktemp("profiled")
    half_plus(folder / "half" / "123", 2.0)
    flags = filter(None, (f"--model_base_path={folder / 'half'}", request.param))
    with started(folder, *flags) as running:
        running.pools = bool(request.param)  # type: ignore[attr-defined]
        yield running


class Caller:
    """ProfilerService as a client of TensorFlow's calls it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.profile = channel.unary_unary(
            "/tensorflow.ProfilerService/Profile",
            request_serializer=profiler_pb2.ProfileRequest.SerializeToString,
            response_deserializer=profiler_pb2.ProfileResponse.FromString,
        )
        self.terminate = channel.unary_unary(
            "/tensorflow.ProfilerService/Terminate",
            request_serializer=profiler_pb2.TerminateRequest.SerializeToString,
            response_deserializer=profiler_pb2.TerminateResponse.FromString,
        )


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    with grpc.insecure_channel(server.address) as channel:
        yield Caller(channel)


@contextmanager
def asking(server: Server) -> Iterator[list[int]]:
    """Ask for predictions until the end of the block; give when each was answered, ns."""
    answered: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.01):
            answer(server.address)
            answered.append(time.time_ns())

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(ask)
        try:
            yield answered
        finally:
            stop.set()
            done.result(LIMIT_S)


def plane_of(response: Any) -> Any:
    (tool,) = response.tool_data
    assert tool.name == "xplane.pb"
    made = xplane_pb2.XSpace.FromString(tool.data)
    (plane,) = made.planes
    assert (list(made.hostnames), plane.name) == (["here"], HOST_PLANE)
    return plane


def events_of(plane: Any, prefix: str) -> list[tuple[str, int, int]]:
    """Give name, begin (ns) and length (ps) of every event on the lines of this name."""
    names = plane.event_metadata
    return [
        (names[e.metadata_id].name, line.timestamp_ns + e.offset_ps // 1000, e.duration_ps)
        for line in plane.lines
        if line.name.startswith(prefix)
        for e in line.events
    ]


def begun(caller: Caller, request: Any) -> Any:
    """Begin a profile, and return once the server has: it refuses another one then."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        running = caller.profile.future(request, timeout=LIMIT_S)
        while not running.done():
            try:
                caller.profile(Request(duration_ms=1), timeout=LIMIT_S)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.ALREADY_EXISTS
                return running
        assert running.code() is grpc.StatusCode.ALREADY_EXISTS  # the other one came first
    raise AssertionError("the profile did not begin")


def test_a_profile_holds_the_runs_of_its_time_and_no_others(server: Server, caller: Caller) -> None:
    with asking(server) as answered:
        begun = time.time_ns()
        response = caller.profile(Request(duration_ms=500, host_name="here"), timeout=LIMIT_S)
        ended = time.time_ns()
    plane = plane_of(response)
    assert not response.empty_trace
    runs = events_of(plane, "model-server")
    assert {name for name, *_ in runs} == {"SessionRun"}
    assert all(begun <= at <= ended and 0 < length < 1e12 for _, at, length in runs)
    expected = sum(begun <= at <= ended for at in answered)
    assert expected > 5 and abs(len(runs) - expected) <= 2  # those at the edges
    stats = {
        plane.stat_metadata[s.metadata_id].name: s.str_value for s in plane.lines[0].events[0].stats
    }
    assert stats["model"] == "default/123" and stats["fetches"]
    operations = events_of(plane, "operations")
    if server.pools:  # type: ignore[attr-defined]
        kinds = [name.rpartition(":")[2] for name, *_ in operations]
        assert set(kinds) == set(OPERATIONS)
        assert kinds.count("Mul") == kinds.count("AddV2") == len(runs)
    else:
        assert operations == []


def test_without_a_run_the_profile_is_empty_and_says_so(caller: Caller) -> None:
    response = caller.profile(Request(duration_ms=20), timeout=LIMIT_S)
    assert response.empty_trace and not response.tool_data


def test_one_profiles_at_a_time_and_terminate_ends_it(server: Server, caller: Caller) -> None:
    long = Request(duration_ms=300_000, session_id="mine", host_name="here")
    running = begun(caller, long)
    answer(server.address)
    caller.terminate(profiler_pb2.TerminateRequest(session_id="another"), timeout=LIMIT_S)
    assert not running.done()
    caller.terminate(profiler_pb2.TerminateRequest(session_id="mine"), timeout=LIMIT_S)
    assert len(events_of(plane_of(running.result(LIMIT_S)), "model-server")) == 1


def test_a_caller_that_goes_leaves_the_profiler_free(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as late:
        caller.profile(Request(duration_ms=300_000), timeout=0.2)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            caller.profile(Request(duration_ms=1), timeout=LIMIT_S)
            break
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.ALREADY_EXISTS and time.monotonic() < end


def test_a_server_that_ends_ends_the_profile_with_what_there_is(tmp_path: Path) -> None:
    half_plus(tmp_path / "half" / "123", 2.0)
    with (
        started(tmp_path, f"--model_base_path={tmp_path / 'half'}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        running = begun(Caller(channel), Request(duration_ms=300_000, host_name="here"))
        answer(server.address)
        server.process.terminate()
        assert len(events_of(plane_of(running.result(LIMIT_S)), "model-server")) == 1
        assert server.process.wait(LIMIT_S) == 0


def test_too_long_a_profile_is_refused(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        caller.profile(Request(duration_ms=600_001), timeout=LIMIT_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 600000" in str(refused.value.details())


def test_tensorflows_own_client_gets_a_file_that_tensorboards_reader_reads(
    server: Server, tmp_path: Path, soak: bool
) -> None:
    if not soak:
        pytest.skip("imports TensorFlow; runs in the soak")
    script = f"""
import glob
from tensorflow.python.profiler import profiler_client
from tensorflow.python.profiler.internal import _pywrap_profiler_plugin as reader
profiler_client.trace("{server.address}", "{tmp_path}", 1000, "", 3)
(path,) = glob.glob("{tmp_path}/plugins/profile/*/*.xplane.pb")
seen, good = reader.xspace_to_tools_data([path], "trace_viewer", {{}})
assert good and b"SessionRun" in seen
"""
    with asking(server):
        subprocess.run([sys.executable, "-c", script], check=True, timeout=100)


def run(thread: str = "a", begun_ns: int = 0, ended_ns: int = 1, metadata: bytes = b"") -> Run:
    return Run("m/1", thread, begun_ns, ended_ns, ("y:0",), metadata)


def test_a_recording_is_bounded_and_counts_what_it_leaves_out() -> None:
    recorder = Recorder()
    assert recorder.now is None
    recording = recorder.start(most=2)
    with pytest.raises(TFError) as twice:
        recorder.start()
    assert twice.value.code == ALREADY_EXISTS
    for _ in range(3):
        recording.add(run())
    recorder.stop()
    heavy = recorder.start()
    for _ in range(3):
        heavy.add(run(metadata=bytes(MOST_BYTES // 2)))
    assert [(len(r.runs), r.left_out) for r in (recording, heavy)] == [(2, 1), (2, 1)]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=40))
def test_operations_never_overlap_on_a_line_and_none_is_lost(times: list[tuple[int, int]]) -> None:
    noted = config_pb2.RunMetadata()
    device = noted.step_stats.dev_stats.add(device="cpu")
    for number, (begun, length) in enumerate(times):
        device.node_stats.add(
            node_name=f"n{number}",
            timeline_label=f"n{number} = MatMul(a, b)",
            all_start_nanos=1_000 + begun,
            all_end_rel_nanos=length,
        )
    made = space([run(begun_ns=1_000, metadata=noted.SerializeToString())], "here", 1_000)
    (plane,) = made.planes
    lines = [line for line in plane.lines if line.name.startswith("operations")]
    names = [plane.event_metadata[e.metadata_id].name for line in lines for e in line.events]
    assert sorted(names) == sorted(f"n{number}:MatMul" for number in range(len(times)))
    for line in lines:
        for one, two in zip(line.events, line.events[1:], strict=False):
            assert one.offset_ps + one.duration_ps <= two.offset_ps
    busiest = max((sum(b <= at < b + n for b, n in times) for at in range(80)), default=0)
    assert busiest <= len(lines) <= len(times)
