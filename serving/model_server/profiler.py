"""TensorFlow's ProfilerService: TensorBoard asks it what a server ran for a while.

TensorFlow's own profiler is not in the C API, but what a session notes of its runs is. No file is
written: the caller gets the profile, and keeps it where it likes.
"""

import socket
import threading
import time
from typing import Any

import grpc
import structlog

from relentless.proto.gen import profiler_pb2
from relentless.serving.model_server.codes import INVALID_ARGUMENT, UNIMPLEMENTED
from relentless.serving.model_server.runtime.capi import TFError
from relentless.serving.model_server.runtime.recording import MOST_RUNS, Recorder
from relentless.serving.model_server.services import answer
from relentless.serving.model_server.xspace import space

SERVICE = "tensorflow.ProfilerService"
FILE = "xplane.pb"
"""What the profile is called; the caller puts the server's name before it."""
LONGEST_S = 600.0
"""A profile takes one of the server's threads, and memory, for so long at most."""

log = structlog.get_logger(__name__)


class Profiler:
    """Answers ``ProfilerService``: one profile at a time."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._ends: dict[str, threading.Event] = {}
        self._closed = False

    def profile(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Record for ``duration_ms``, or until Terminate or the caller's end; give the profile.

        Raises:
            TFError: INVALID_ARGUMENT, too long; ALREADY_EXISTS, somebody else profiles.
        """
        wanted_s = request.duration_ms / 1_000
        if wanted_s > LONGEST_S:
            raise TFError(
                INVALID_ARGUMENT, f"duration_ms={request.duration_ms}: at most {LONGEST_S * 1000:g}"
            )
        begun_ns = time.time_ns()
        recording = self._recorder.start(request.max_events or MOST_RUNS)
        try:
            end = self._ends[request.session_id] = threading.Event()
            if context.add_callback(end.set) and not self._closed:
                end.wait(wanted_s)
        finally:
            self._ends.pop(request.session_id, None)
            self._recorder.stop()
        runs = list(recording.runs)
        log.info("profiled", seconds=wanted_s, runs=len(runs), left_out=recording.left_out)
        if not runs:
            return profiler_pb2.ProfileResponse(empty_trace=True)
        host = request.host_name or socket.gethostname()
        data = space(runs, host, begun_ns).SerializeToString()
        return profiler_pb2.ProfileResponse(
            tool_data=[profiler_pb2.ProfileToolData(name=FILE, data=data)]
        )

    def terminate(self, request: Any) -> Any:
        """End a profile before its time; it answers with what there is."""
        if end := self._ends.get(request.session_id):
            end.set()
        return profiler_pb2.TerminateResponse()

    def stop(self, _grace_s: float) -> None:
        """End the profile that is being taken: nothing more will run."""
        self._closed = True
        for end in list(self._ends.values()):
            end.set()

    def monitor(self, _request: bytes) -> bytes:
        """Refuse: of a processor TensorFlow Serving monitors nothing either.

        Raises:
            TFError: UNIMPLEMENTED.
        """
        raise TFError(UNIMPLEMENTED, "unimplemented.")


def handler(profiler: Profiler) -> grpc.GenericRpcHandler:
    """Give the service as a server registers it."""

    def profile(request: Any, context: grpc.ServicerContext) -> Any:
        return answer(lambda asked: profiler.profile(asked, context), request, context)

    def terminate(request: Any, context: grpc.ServicerContext) -> Any:
        return answer(profiler.terminate, request, context)

    def monitor(request: bytes, context: grpc.ServicerContext) -> Any:
        return answer(profiler.monitor, request, context)

    handlers: dict[str, Any] = {
        "Profile": grpc.unary_unary_rpc_method_handler(
            profile,
            request_deserializer=profiler_pb2.ProfileRequest.FromString,
            response_serializer=profiler_pb2.ProfileResponse.SerializeToString,
        ),
        "Terminate": grpc.unary_unary_rpc_method_handler(
            terminate,
            request_deserializer=profiler_pb2.TerminateRequest.FromString,
            response_serializer=profiler_pb2.TerminateResponse.SerializeToString,
        ),
        "Monitor": grpc.unary_unary_rpc_method_handler(monitor),
    }
    return grpc.method_handlers_generic_handler(SERVICE, handlers)
