"""Asks every gRPC call for a credential, the health check alone excepted.

``authorization: Bearer <key>`` (or ``x-api-key``) in the metadata; roles as the feed has them.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from grpc.aio import ServerInterceptor

from relentless.configs.access import TlsSettings
from relentless.proto.errors import Unauthenticated, Unavailable
from relentless.store.ports import KeyVerifier, Role

_OPEN = "/grpc.health.v1.Health/"

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic in its stubs only


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """Give a listener's TLS; with ``client_ca`` a client must show a certificate too.

    Raises:
        OSError: a file cannot be read.
    """
    authority = tls.client_ca
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.cert.read_bytes())],
        root_certificates=authority.read_bytes() if authority else None,
        require_client_auth=authority is not None,
    )


class CredentialInterceptor(ServerInterceptor):
    """Lets a call through where its key is good and of a permitted role."""

    def __init__(self, verifier: KeyVerifier, roles: frozenset[Role]) -> None:
        self._verifier = verifier
        self._roles = roles
        self.denied = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the call's own handler, or one that refuses in the same shape."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(_OPEN):
            return handler
        refusal = self._refusal(details)
        if refusal is None:
            return handler
        self.denied += 1
        return _refusing(handler, *refusal)

    def _refusal(self, details: grpc.HandlerCallDetails) -> tuple[grpc.StatusCode, str] | None:
        if not (credential := _credential(details)):
            return (
                grpc.StatusCode.UNAUTHENTICATED,
                "no API key: send it as the metadata authorization: Bearer <key>",
            )
        try:
            principal = self._verifier.verify(credential)
        except Unauthenticated as error:
            return grpc.StatusCode.UNAUTHENTICATED, str(error)
        except Unavailable as error:
            return grpc.StatusCode.UNAVAILABLE, str(error)
        if principal.role not in self._roles:
            may = ", ".join(sorted(self._roles))
            said = f"a key of role {principal.role} may not call this; one of role {may} may"
            return grpc.StatusCode.PERMISSION_DENIED, said
        return None


def _credential(details: grpc.HandlerCallDetails) -> str:
    metadata = dict(details.invocation_metadata or ())
    bearer = str(metadata.get("authorization", ""))
    if bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    return str(metadata.get("x-api-key", ""))


def _refusing(handler: Handler, code: grpc.StatusCode, text: str) -> Handler:
    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, text)

    async def refuse_stream(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(code, text)
        yield

    makers: dict[tuple[bool, bool], Callable[..., Handler]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    behaviour = refuse_stream if handler.response_streaming else refuse
    return makers[bool(handler.request_streaming), bool(handler.response_streaming)](
        behaviour, handler.request_deserializer, handler.response_serializer
    )
