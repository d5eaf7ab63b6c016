"""A single request that is no message is refused as such, in gRPC's code for that.

gRPC itself answers INTERNAL. Streams of requests are read by their methods, which see to it.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServerInterceptor

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic in its stubs only

Context = grpc.aio.ServicerContext[Any, Any]
REFUSED = "the bytes are no message of this method"


class DecodingInterceptor(ServerInterceptor):
    """Reads the single requests of one service, whose methods are coroutines."""

    def __init__(self, service: str) -> None:
        self._start = f"/{service}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the call's own handler, behind a reading of its requests."""
        handler = await continuation(details)
        if (
            handler is None
            or handler.request_streaming
            or not details.method.startswith(self._start)
        ):
            return handler
        return _reading(handler)


def _reading(handler: Handler) -> Handler:
    decode: Any = handler.request_deserializer

    async def read(raw: bytes, context: Context) -> Any:
        try:
            return decode(raw)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSED)

    inner: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

    async def answers(raw: bytes, context: Context) -> Any:
        return await inner(await read(raw, context), context)

    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(answers, None, handler.response_serializer)
    return grpc.unary_unary_rpc_method_handler(answers, None, handler.response_serializer)
