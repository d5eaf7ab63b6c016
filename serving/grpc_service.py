"""FinancialPredictor over gRPC: ticks of a caller in, one result for each tick out.

The callers' ticks share one lane of the pipeline, apart from the live feed's: they see one feature
state for each symbol, their own and other callers', and never the exchange's; their results carry
sequence 0 and never reach the feed. The same gates hold, the lease among them. ``StreamRisk`` is
the feed itself, over gRPC.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health_aio  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from relentless.configs.access import TlsSettings
from relentless.models.features import FEATURES
from relentless.proto.errors import (
    InvalidFrame,
    InvalidInput,
    Overloaded,
    RelentlessError,
    Unavailable,
)
from relentless.proto.gen import market_pb2, market_pb2_grpc
from relentless.proto.signal import SIGNAL_DTYPE, Flag
from relentless.proto.tick import TICK_SIZE, TICK_STRUCT, unpack_ticks
from relentless.serving.answers import Answers
from relentless.serving.gates import REASONS
from relentless.serving.grounds import GroundsRing
from relentless.serving.grpc_auth import CredentialInterceptor, server_credentials
from relentless.serving.grpc_decoding import DecodingInterceptor
from relentless.serving.lease import Lease
from relentless.serving.pipeline import CAPACITY
from relentless.serving.ring import SignalRing
from relentless.serving.streams import Draining, Streams, own_task
from relentless.serving.wire import mark_replayed
from relentless.store.ports import SIGNAL_READERS, KeyVerifier
from relentless.store.symbols import SymbolDirectory

Context = grpc.aio.ServicerContext[Any, Any]
Inbox = asyncio.Queue[market_pb2.MarketTick | None]

NAME = "relentless.v1.FinancialPredictor"
RISK_FRAMES = 512
"""Frames in one message of the risk stream."""
QUEUED = 1_024
"""Ticks of one stream that may wait before its caller is held back."""
MAX_MESSAGE = 8 << 20
MAX_NAMED = 1_024
"""Symbols that callers may add to the directory, which never forgets, while this process runs."""


class PredictorService(market_pb2_grpc.FinancialPredictorServicer):
    """The five methods. ``answers`` is this service's own; the grounds are the live feed's."""

    def __init__(
        self,
        answers: Answers,
        ring: SignalRing,
        symbols: SymbolDirectory,
        lease: Lease,
        now_ns: Callable[[], int],
        grounds: GroundsRing,
        streams: Streams | None = None,
    ) -> None:
        self._answers = answers
        self._streams = streams or Streams()
        self._grounds = grounds
        self._ring = ring
        self._symbols = symbols
        self._lease = lease
        self._now_ns = now_ns
        self._named = 0
        self._writing: set[asyncio.Task[Any]] = set()
        self._resumed = asyncio.Event()

    async def Predict(
        self, request: market_pb2.PredictRequest, context: Context
    ) -> market_pb2.PredictResponse:
        """Answer one signal for each tick, in order."""
        if not 0 < len(request.ticks) <= CAPACITY:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"a request holds 1 to {CAPACITY} ticks"
            )
        try:
            return market_pb2.PredictResponse(signals=await self._typed(request.ticks))
        except RelentlessError as error:
            await context.abort(_status(error), str(error))
            raise

    async def StreamPredict(self, _: Any, context: Context) -> None:
        """Answer one signal for each tick; what has arrived meanwhile is one step."""
        await self._streams.open(context)
        inbox: Inbox = asyncio.Queue(QUEUED)
        reader = asyncio.create_task(self._read(context, inbox))
        ended = drained = False
        try:
            while not ended:
                try:
                    batch = [await self._streams.wait(inbox.get)]
                except Draining:
                    reader.cancel()
                    batch, drained = [None], True
                while not inbox.empty():
                    batch.append(inbox.get_nowait())
                ended = None in batch
                ticks = [tick for tick in batch if tick is not None]
                for answer in await self._typed(ticks):
                    await self._streams.write(context, answer)
            if drained:
                await self._streams.end(context)
            await reader
        except (RelentlessError, DecodeError) as error:
            await context.abort(_status(error), str(error))
        finally:
            reader.cancel()

    async def StreamPredictBatch(self, _: Any, context: Context) -> None:
        """Answer packed frames, and a reason each, for packed ticks."""
        streams = self._streams
        await streams.open(context)
        try:
            while (batch := await streams.wait(context.read)) is not grpc.aio.EOF:
                # A copy that is writable, as the compiled loops know it.
                rows = unpack_ticks(bytearray(batch.ticks))
                ticks = rows.view(np.uint8).reshape(-1, TICK_SIZE)
                for at in range(0, len(ticks), CAPACITY):
                    answer = await self._answers.answer(ticks[at : at + CAPACITY])
                    message = market_pb2.SignalBatch(frames=answer.frames, reasons=answer.reasons)
                    await streams.write(context, message)
        except Draining:
            await streams.end(context)
        except (RelentlessError, DecodeError) as error:
            await context.abort(_status(error), str(error))

    async def StreamRisk(self, request: market_pb2.RiskRequest, context: Context) -> None:
        """Give the feed's signals from a sequence on, replayed ones marked, then live."""
        ring = self._ring
        place = request.next_sequence or ring.head
        if request.session not in ("", ring.session):
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"this session is {ring.session}; ask for it, or for any"
            )
        if not ring.first <= place <= ring.head:
            await context.abort(
                grpc.StatusCode.OUT_OF_RANGE,
                f"sequences {ring.first} to {ring.head} can be asked for here",
            )
        await self._streams.open(context)
        replay_until = ring.head
        while True:
            try:
                await self._streams.wait(partial(ring.wait, place))
                if not self._lease.permitted():
                    self._resumed.clear()
                    replay_until = ring.head
                    await self._streams.wait(self._resumed.wait)
                    continue
            except Draining:
                await self._streams.end(context)
            if place < ring.first:
                await context.abort(grpc.StatusCode.DATA_LOSS, "too slow: frames are overwritten")
            frames = ring.read(place, RISK_FRAMES)
            replayed = min(len(frames), replay_until - place)
            if replayed > 0:
                mark_replayed(frames[:replayed].view(np.uint32), int(Flag.REPLAY))
            place += len(frames)
            await self._send(context, market_pb2.SignalBatch(frames=frames.tobytes()))

    async def Explain(
        self, request: market_pb2.ExplainRequest, context: Context
    ) -> market_pb2.ExplainResponse:
        """Give what the model saw and said for one signal of the feed, while it is kept."""
        ring, sequence = self._ring, request.sequence
        if request.session not in ("", ring.session):
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"this session is {ring.session}; ask for it, or for any"
            )
        found = self._grounds.find(sequence)
        if found is None or not ring.first <= sequence < ring.head:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"the grounds of signal {sequence} are not kept here"
            )
            raise AssertionError("abort returned")
        frame = ring.read(sequence, 1).reshape(-1).view(SIGNAL_DTYPE)[0]
        return market_pb2.ExplainResponse(
            features=found.features.tolist(),
            heads=found.heads.tolist(),
            model_version=int(frame["model_version"]),
        )

    async def halt(self) -> None:
        """Return once no signal of the risk stream is on its way out of this process."""
        for _ in range(20):
            if not self._writing:
                return
            await asyncio.sleep(0.005)
        for task in tuple(self._writing):
            task.cancel()

    def resume(self) -> None:
        """Signals may leave again."""
        self._resumed.set()

    async def _send(self, context: Context, message: market_pb2.SignalBatch) -> None:
        """Write one message of the feed, known to ``halt`` while it is on its way."""
        task = own_task()
        self._writing.add(task)
        try:
            await self._streams.write(context, message)
        finally:
            self._writing.discard(task)

    def drain(self) -> None:
        """Read nothing more; every stream ends after what it is writing."""
        self._streams.drain()

    async def _read(self, context: Context, inbox: Inbox) -> None:
        """Put a caller's ticks into its inbox, then None; it is held back when that is full.

        Raises:
            InvalidInput, DecodeError: a tick that is none; those before it are in the inbox.
            Overloaded: no room for another symbol.
        """
        try:
            while (tick := await context.read()) is not grpc.aio.EOF:
                _check(tick)
                self._number(tick.symbol)
                await inbox.put(tick)
        except (RelentlessError, DecodeError):
            await inbox.put(None)
            raise
        await inbox.put(None)

    def _number(self, symbol: str) -> int:
        """Give a symbol's number, and a new one while callers have not named too many.

        Raises:
            InvalidInput: no symbol.
            Overloaded: no room for another one.
        """
        number = self._symbols.get(symbol)
        if number:
            return number
        if self._named >= MAX_NAMED:
            raise Overloaded(f"callers have named {MAX_NAMED} new symbols; no further one is taken")
        number = self._symbols.intern(symbol)
        self._named += 1
        return number

    async def _typed(
        self, ticks: Sequence[market_pb2.MarketTick]
    ) -> list[market_pb2.TradingSignal]:
        """Run typed ticks.

        Raises:
            InvalidInput: a name that is no symbol.
            InvalidFrame: indicators of another number than the features.
        """
        packed = bytearray(TICK_SIZE * len(ticks))
        indicators = []
        for i, tick in enumerate(ticks):
            _check(tick)
            if tick.technical_indicators:
                indicators.append((i, tick.technical_indicators))
            number = self._number(tick.symbol)
            numbers = (tick.price, tick.bid, tick.ask, tick.volume)
            TICK_STRUCT.pack_into(packed, i * TICK_SIZE, tick.timestamp, number, 0, *numbers)
        self._answers.know(len(self._symbols))
        rows = np.frombuffer(packed, np.uint8).reshape(-1, TICK_SIZE)
        signals: list[market_pb2.TradingSignal] = []
        if not ticks:
            return signals
        output = await self._answers.answer(rows, indicators)
        frames = np.frombuffer(output.frames, SIGNAL_DTYPE)
        return [
            _typed_signal(frame, self._symbols.name(int(frame["symbol_id"])), REASONS[reason])
            for frame, reason in zip(frames, output.reasons, strict=True)
        ]


def _status(error: Exception) -> grpc.StatusCode:
    if isinstance(error, InvalidInput | DecodeError):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, Overloaded):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    return grpc.StatusCode.UNAVAILABLE


def _check(tick: market_pb2.MarketTick) -> None:
    """Refuse indicators of another number than the features.

    Raises:
        InvalidFrame: they are.
    """
    if len(tick.technical_indicators) not in (0, FEATURES):
        raise InvalidFrame(f"technical_indicators holds {FEATURES} numbers, or none")


def _typed_signal(frame: Any, symbol: str, reason: str) -> market_pb2.TradingSignal:
    """Give one row of ``SIGNAL_DTYPE`` as its message."""
    return market_pb2.TradingSignal(
        timestamp=int(frame["timestamp"]),
        symbol_id=int(frame["symbol_id"]),
        action=int(frame["action"]),
        confidence=float(frame["confidence"]),
        price_target=float(frame["price_target"]),
        stop_loss=float(frame["stop_loss"]),
        position_size=float(frame["position_size"]),
        risk_score=int(frame["risk_score"]),
        urgency=int(frame["urgency"]),
        strategy_id=int(frame["strategy_id"]),
        context_id=int(frame["context_id"]),
        model_version=int(frame["model_version"]),
        flags=int(frame["flags"]),
        symbol=symbol,
        refused="" if reason == "passed" else reason,
    )


class GrpcServer:
    """The listener: FinancialPredictor, health and reflection behind one credential check."""

    def __init__(self, service: PredictorService, verifier: KeyVerifier) -> None:
        self.auth = CredentialInterceptor(verifier, SIGNAL_READERS)
        self._service = service
        self._server = grpc.aio.server(
            interceptors=[self.auth, DecodingInterceptor(NAME)],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
            ],
            maximum_concurrent_rpcs=256,
        )
        self._health = health_aio.HealthServicer()
        market_pb2_grpc.add_FinancialPredictorServicer_to_server(  # type: ignore[no-untyped-call]
            service, self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (NAME, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int, tls: TlsSettings | None = None) -> str:
        """Listen, and give the address as "host:port".

        Raises:
            Unavailable: the port is taken.
        """
        try:
            if tls is None:
                bound = self._server.add_insecure_port(f"{host}:{port}")
            else:
                bound = self._server.add_secure_port(f"{host}:{port}", server_credentials(tls))
        except RuntimeError as error:
            raise Unavailable(f"gRPC cannot listen on {host}:{port}") from error
        await self._server.start()
        for name in ("", NAME):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return f"{host}:{bound}"

    async def close(self, grace_s: float = 1.0) -> None:
        """Say that it serves no longer, end the streams, give calls ``grace_s``, then end them."""
        await self._health.enter_graceful_shutdown()
        self._service.drain()
        await self._server.stop(grace_s)
