"""The tools of inference: ``predict_signal`` and ``get_signals``. Neither feeds a signal."""

from typing import Annotated

from pydantic import Field

from relentless.proto.base import Symbol
from relentless.store.ports import Principal
from relentless.tools.ports import Emitted, Inference, SignalPage, Signals

Price = Annotated[float, Field(gt=0, lt=1e9)]


class InferenceTools:
    """Asking the model, and reading what it said."""

    def __init__(self, inference: Inference, signals: Signals) -> None:
        self._inference = inference
        self._signals = signals

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
