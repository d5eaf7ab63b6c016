"""What the tools are written against: the hub's parts, as Protocols, and the shapes they answer.

A tool family holds one or two of these and nothing else, so that it is tested without a server.
``mcp_server`` implements them; every method that serves a caller takes the verified ``Principal``.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from relentless.proto.base import Name, Short
from relentless.proto.contexts import Topic
from relentless.proto.daily import DailyContext
from relentless.store.ports import Principal
from relentless.tools.links import Link


class Shape(BaseModel):
    """Base of what goes over the wire here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LastRun(Shape):
    """What an agent says of its last run, in market time."""

    scheduled_at: AwareDatetime
    finished_at: AwareDatetime
    status: Literal["ok", "degraded", "failed"]
    messages: int = Field(default=0, ge=0)
    gaps: list[Short] = Field(default=[], max_length=200)
    error: Short | None = None


class AgentView(Shape):
    """One registered agent."""

    agent: str
    alive: bool
    """Its lease has not run out."""
    topics: list[Topic]
    schedule: list[str] = []
    last_seen_s: float
    """Wall seconds since its last call."""
    last_run: LastRun | None = None


class Registration(Shape):
    """The answer to an agent that registers."""

    agent: Name
    lease_s: float
    inbox_uri: str
    topics: list[Topic]
    run_requested: str | None = None
    """Id of an operator's request to run now; it stands until the next report of a run."""


class RunAsked(Shape):
    """What became of asking an agent to run."""

    agent: str
    request_id: str
    alive: bool
    last_seen_s: float
    finished: bool
    """The agent has reported a run since it was asked; ``last_run`` is that report."""
    last_run: Annotated[LastRun | None, WithJsonSchema({"type": ["object", "null"]})] = None


class VersionView(Shape):
    """One version of the model, as the model server has it."""

    version: int
    state: str
    error: str = ""


class ModelView(Shape):
    """Versions, labels, and the canary's share."""

    model: str
    versions: list[VersionView]
    labels: dict[str, int]
    canary_share: float
    previous_stable: int | None = None
    """Where roll_back goes."""
    predictors: dict[str, dict[str, int]] = {}
    """The labels that each predictor last said it serves; they follow within seconds."""


class Receipt(Shape):
    """One stored message."""

    message_id: str
    sequence: int
    duplicate: bool


class Stored(Shape):
    """One message as it is kept."""

    sequence: int
    received_at: str
    message: dict[str, JsonValue]


class Page(Shape):
    """Messages in order, and where to read on."""

    messages: list[Stored]
    next_after: int
    head: int


class Emitted(Shape):
    """One signal of the feed."""

    session: str
    sequence: int
    symbol: str
    timestamp: str
    action: Literal["hold", "buy", "sell"]
    confidence: float
    price_target: float
    stop_loss: float
    position_size: float
    risk_score: int
    urgency: int
    model_version: int
    context_id: str
    flags: list[str]
    frame: str
    """The 64 bytes in hex."""


class SignalPage(Shape):
    """Signals in order of the feed, and where to read on."""

    signals: list[Emitted]
    next_after: int
    session: str

    def links(self) -> Sequence[Link]:
        """Give the board that is pushed, and the directory of symbols."""
        return (
            Link("signals://latest", "signals", "The newest signals, pushed when watched"),
            Link("symbols://", "symbols", "Every symbol's number", 0.1),
        )


class Confirmation(Shape):
    """What became of one predictor when trading was halted or resumed."""

    predictor_id: str
    by: Literal["confirmed", "lease_ended"]


class HaltView(Shape):
    """Whether trading is halted, and who has confirmed it."""

    halted: bool
    epoch: int
    reason: str
    by: str
    at: str
    predictors: list[Confirmation] = []


class Exchange(Protocol):
    """The durable exchange of messages."""

    async def publish(self, caller: Principal, messages: Sequence[object]) -> list[Receipt]:
        """Store messages, all or none, and answer once they are durable.

        Raises:
            InvalidMessage: a message breaks its contract.
            Forbidden: another's name, or a topic that the caller's key does not permit.
            Conflict: an id is there with another body.
        """
        ...

    async def read(
        self,
        caller: Principal,
        *,
        topic: Topic | None,
        inbox: bool,
        after: int | None,
        limit: int,
        wait_s: float = 0.0,
    ) -> Page:
        """Give messages after a sequence number, waiting up to ``wait_s`` for the first."""
        ...

    async def acknowledge(self, caller: Principal, up_to: int) -> int:
        """Move the caller's cursor up to a sequence number; gives where it stands."""
        ...


class Progress(Protocol):
    """How far a long piece of work has come, told to the caller; nothing where it did not ask."""

    async def __call__(self, done: float, total: float, message: str, /) -> None:
        """Say that ``done`` of ``total`` is done."""
        ...


class Agents(Protocol):
    """Who takes part."""

    async def register(
        self,
        caller: Principal,
        topics: Sequence[Topic] | None,
        schedule: Sequence[str] | None,
        last_run: LastRun | None,
    ) -> Registration:
        """Register the caller, or renew its lease."""
        ...

    def agents(self) -> list[AgentView]:
        """Give every agent, by name."""
        ...


class Runs(Protocol):
    """Asking agents to run."""

    async def ask(
        self, caller: Principal, agent: str, wait_s: float, progress: Progress
    ) -> RunAsked:
        """Ask an agent to run now, and wait up to ``wait_s`` for its report.

        Raises:
            NotFound: no such agent is registered.
        """
        ...


class Contexts(Protocol):
    """The daily contexts."""

    async def get(self, day: date | None, as_of: datetime | None) -> DailyContext:
        """Give the newest context, the last of a day, or a day's as it was known at a time.

        Raises:
            NotFound: none was built.
        """
        ...

    async def build(self, as_of: datetime | None, progress: Progress | None = None) -> DailyContext:
        """Fold a context as of a market time, by default now, and make it the newest.

        Given up before the context is written, it leaves nothing; after that it is finished.
        """
        ...


class Signals(Protocol):
    """The newest signals of the feed."""

    def page(self, *, after: int, limit: int, symbol: str | None) -> SignalPage:
        """Give signals after a sequence number; with ``after`` 0 the newest."""
        ...

    def find(self, session: str | None, sequence: int | None, symbol: str | None) -> Emitted:
        """Give one signal by its number, or the newest, of a symbol or of all.

        Raises:
            NotFound: it is not, or no longer, held here.
        """
        ...


class Inference(Protocol):
    """The model server's answer for one tick."""

    async def predict(
        self, symbol: str, prices: Sequence[float], bid: float | None, ask: float | None
    ) -> Emitted:
        """Predict under the newest context; the signal is not on the feed.

        Raises:
            ModelUnavailable: the model server does not answer.
            NotFound: there is no daily context yet, or no such symbol.
        """
        ...


class Control(Protocol):
    """The halt, and the state of the whole."""

    async def set_halt(self, caller: Principal, halted: bool, reason: str) -> HaltView:
        """Halt or resume; answers when every predictor confirmed or its lease has run out."""
        ...


class Models(Protocol):
    """The versions of the model, and which of them serve."""

    async def view(self) -> ModelView:
        """Give versions, labels and the canary's share.

        Raises:
            ModelUnavailable: the model server does not answer.
        """
        ...

    async def promote(self, caller: Principal, version: int | None, reason: str) -> ModelView:
        """Make a version stable, by default the canary.

        Raises:
            NotFound: there is no canary, or no such version.
            Conflict: it is stable already, or does not serve.
            ModelUnavailable, ModelRejected: the model server does not take it.
        """
        ...

    async def roll_back(self, caller: Principal, reason: str) -> ModelView:
        """Make the version stable that was before the last promotion.

        Raises:
            NotFound: nothing was promoted.
            Conflict: that version does not serve any more.
            ModelUnavailable, ModelRejected: the model server does not take it.
        """
        ...

    async def set_canary_share(self, caller: Principal, share: float, reason: str) -> ModelView:
        """Send this share of the symbol-minutes to the canary; 0 takes it out of the traffic."""
        ...


class Status(Protocol):
    """What an operator asks first."""

    def status(self) -> dict[str, Any]:
        """Give the state of the whole, small."""
        ...
