"""Bytes that are no message are refused as such, in gRPC's own code for it.

gRPC itself answers INTERNAL, or on a stream UNKNOWN with the name of the class that was raised.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
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
    """Reads the requests of one service's methods; the methods are coroutines or generators."""

    def __init__(self, service: str) -> None:
        self._start = f"/{service}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the call's own handler, behind a reading of its requests."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(self._start):
            return handler
        return _reading(handler)


def _reading(handler: Handler) -> Handler:
    decode: Any = handler.request_deserializer
    streams_in, streams_out = bool(handler.request_streaming), bool(handler.response_streaming)

    async def read(raw: bytes, context: Context) -> Any:
        try:
            return decode(raw)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, REFUSED)

    async def each(raws: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async for raw in raws:
            yield await read(raw, context)

    async def given(raw: Any, context: Context) -> Any:
        return each(raw, context) if streams_in else await read(raw, context)

    inner: Any
    if streams_out:
        inner = handler.stream_stream if streams_in else handler.unary_stream

        async def streams(raw: Any, context: Context) -> AsyncIterator[Any]:
            async for answer in inner(await given(raw, context), context):
                yield answer

        make = (
            grpc.stream_stream_rpc_method_handler
            if streams_in
            else grpc.unary_stream_rpc_method_handler
        )
        return make(streams, None, handler.response_serializer)
    inner = handler.stream_unary if streams_in else handler.unary_unary

    async def answers(raw: Any, context: Context) -> Any:
        return await inner(await given(raw, context), context)

    make = (
        grpc.stream_unary_rpc_method_handler if streams_in else grpc.unary_unary_rpc_method_handler
    )
    return make(answers, None, handler.response_serializer)
