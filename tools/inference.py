"""The tools of inference: ``predict_signal``, ``get_signals``, ``explain_signal``.

None of them feeds a signal.
"""

from collections.abc import Collection
from typing import Annotated, Protocol

from pydantic import Field

from relentless.proto.base import Symbol
from relentless.proto.errors import InvalidInput
from relentless.store.ports import Principal
from relentless.tools.explained import Explained, Part
from relentless.tools.ports import Emitted, Inference, SignalPage, Signals


class Explainer(Protocol):
    """Walks a signal back to what it came from."""

    async def explain(self, signal: Emitted, parts: Collection[Part]) -> Explained:
        """Give what can still be told; what cannot is among its gaps."""
        ...


Price = Annotated[float, Field(gt=0, lt=1e9)]


class InferenceTools:
    """Asking the model, and reading what it said."""

    def __init__(self, inference: Inference, signals: Signals, explainer: Explainer) -> None:
        self._inference = inference
        self._signals = signals
        self._explainer = explainer

    async def predict_signal(
        self,
        caller: Principal,
        symbol: Symbol,
        price: Price,
        bid: Price | None = None,
        ask: Price | None = None,
        history: Annotated[
            list[Price] | None,
            Field(max_length=1_000, description="Earlier prices, oldest first"),
        ] = None,
    ) -> Emitted:
        """Ask the model server what it says of one tick under the newest daily context.

        A what-if: sequence is 0 and nothing is fed. More history gives better tick features.
        """
        return await self._inference.predict(symbol, [*(history or ()), price], bid, ask)

    async def get_signals(
        self,
        caller: Principal,
        after: Annotated[int, Field(ge=0, description="0: the newest")] = 0,
        limit: Annotated[int, Field(ge=1, le=200)] = 20,
        symbol: Symbol | None = None,
    ) -> SignalPage:
        """Get the newest signals of the live feed, decoded, each with its 64 bytes in hex."""
        return self._signals.page(after=after, limit=limit, symbol=symbol)

    async def explain_signal(
        self,
        caller: Principal,
        symbol: Annotated[Symbol | None, Field(description="Its newest signal")] = None,
        sequence: Annotated[int | None, Field(ge=1)] = None,
        session: Annotated[
            str | None, Field(max_length=80, description="Of the sequence; default this one")
        ] = None,
        fields: Annotated[
            list[Part] | None, Field(max_length=4, description="Give these parts whole")
        ] = None,
    ) -> Explained:
        """Walk a signal back to its sources.

        Model version and heads, tick features, the daily context with what was masked, and the
        messages behind it with their evidence. Name a symbol or a sequence; default the newest.
        """
        if session is not None and sequence is None:
            raise InvalidInput("a session needs a sequence; get_signals shows both")
        signal = self._signals.find(session, sequence, symbol)
        return await self._explainer.explain(signal, frozenset(fields or ()))
