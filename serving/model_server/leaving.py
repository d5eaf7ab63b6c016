"""How a gRPC server ends without losing a call: what has come in is answered, and the answer read.

gRPC closes a connection with its last call, and what then is on its way to the client can be lost;
a call that comes in at that moment is CANCELLED. So the door closes first: later calls are refused
as UNAVAILABLE, which clients try elsewhere, and the last answer has time to arrive.
"""

import functools
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

LINGER_S = 0.2
"""How long after the last answer connections stay open."""

Method = Callable[[Any, grpc.ServicerContext], Any]


class Door(grpc.ServerInterceptor):
    """Knows the unary calls that are inside. Safe for concurrent use."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._inside = 0
        self._last_left = -math.inf

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Let a call in, or refuse it; those that wait for a thread are in."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = _refuse if self._closed else functools.partial(self._pass, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(
            method, handler.request_deserializer, handler.response_serializer
        )

    def close(self, within_s: float) -> None:
        """Refuse new calls, and wait until those inside are answered and their answers read."""
        end = time.monotonic() + within_s
        with self._changed:
            self._closed = True
            while (left := min(self._settles(), end) - time.monotonic()) > 0:
                self._changed.wait(left)

    def _settles(self) -> float:
        return math.inf if self._inside else self._last_left + LINGER_S

    def _pass(self, method: Method, request: Any, context: grpc.ServicerContext) -> Any:
        with self._changed:
            self._inside += 1
        try:
            return method(request, context)
        finally:
            with self._changed:
                self._inside -= 1
                self._last_left = time.monotonic()
                if self._closed:
                    self._changed.notify_all()


def _refuse(_: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAVAILABLE, "The model server is shutting down")
