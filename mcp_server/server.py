"""The hub process: one ``build()`` that wires every part; ``run`` serves until asked to end.

This is the only module of the hub that constructs adapters (the journal, the key ring, the online
store); everything below takes what it is given.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from starlette.types import ASGIApp

from relentless.configs import freshness
from relentless.configs.clock import Clock
from relentless.configs.process import allow_files, announce, stop_event
from relentless.configs.settings import Settings
from relentless.mcp_server.archive import Archive
from relentless.mcp_server.audit import Audit, AuditedJournal
from relentless.mcp_server.auth import Gate, KeyVerification, Rate
from relentless.mcp_server.completion import Completions
from relentless.mcp_server.connections import Limits
from relentless.mcp_server.contexts import ContextStore
from relentless.mcp_server.control import LeaseControl
from relentless.mcp_server.coordinator import Coordinator
from relentless.mcp_server.exchange import MessageExchange
from relentless.mcp_server.explain import SignalExplainer
from relentless.mcp_server.feed_tap import FeedTap
from relentless.mcp_server.http import HttpServer, application, bind, resource_url
from relentless.mcp_server.inference import ModelInference
from relentless.mcp_server.mirror import Mirror
from relentless.mcp_server.models import ModelControl
from relentless.mcp_server.oauth import Tokens
from relentless.mcp_server.protocol import Protocol
from relentless.mcp_server.registry import Registry
from relentless.mcp_server.resources import (
    AGENTS,
    DAILY,
    SIGNALS,
    Resources,
    inbox_uri,
    topic_uri,
)
from relentless.mcp_server.runs import AgentRuns
from relentless.mcp_server.status import HubStatus
from relentless.mcp_server.subscriptions import Push
from relentless.mcp_server.toolbox import Toolbox
from relentless.proto.messages import BROADCAST, ContextMessage
from relentless.store.history import History
from relentless.store.journal import hub_journal, open_journal
from relentless.store.keys import KeyRing, ensure_local, keys_path, local_credential
from relentless.store.online import open_online
from relentless.store.ports import Journal, OnlineStore, Principal
from relentless.tools.agents import AgentTools
from relentless.tools.context import ContextTools
from relentless.tools.inference import InferenceTools
from relentless.tools.operators import OperatorTools

log = structlog.get_logger()


@dataclass(frozen=True)
class Hub:
    """Every part of a running hub."""

    app: ASGIApp
    protocol: Protocol
    journal: Journal
    exchange: MessageExchange
    registry: Registry
    contexts: ContextStore
    coordinator: Coordinator
    mirror: Mirror
    control: LeaseControl
    models: ModelControl
    tap: FeedTap
    push: Push
    audit: Audit

    def before_end(self) -> None:
        """Wake whoever waits and end every stream, so that the server can end at once."""
        for pulse in (self.exchange.pulse, self.registry.pulse, self.control.pulse):
            pulse.close()
        self.protocol.end_streams()


@asynccontextmanager
async def build(
    settings: Settings, *, clock: Clock | None = None, local: Callable[[], Principal] | None = None
) -> AsyncIterator[Hub]:
    """Open what the hub stands on, recover its state, and wire it.

    Args:
        settings: the run's.
        clock: in place of the settings' own, for tests.
        local: who calls where there is no HTTP in between (in-memory clients), for tests.
    """
    clock = clock or settings.run_clock()
    state = settings.paths.state
    ensure_local(state)
    async with contextlib.AsyncExitStack() as stack:
        journal = await open_journal(hub_journal(state), clock)
        stack.push_async_callback(journal.close)
        online = await open_online(settings.redis.url)
        stack.push_async_callback(online.close)
        audit = Audit(journal)
        stack.push_async_callback(audit.close)
        tokens = None
        if settings.hub.oauth is not None:
            tokens = Tokens(settings.hub.oauth, resource_url(settings.hub))
            stack.push_async_callback(tokens.close)
        hub, inference = _wire(settings, clock, journal, audit, tokens, online, local)
        stack.callback(inference.close)
        stack.callback(hub.models.close)
        for part in (hub.registry, hub.exchange, hub.contexts, hub.control, hub.models):
            await part.recover()
        yield hub


def _wire(
    settings: Settings,
    clock: Clock,
    journal: Journal,
    audit: Audit,
    tokens: Tokens | None,
    online: OnlineStore,
    local: Callable[[], Principal] | None,
) -> tuple[Hub, ModelInference]:
    state: Path = settings.paths.state
    push = Push()
    audited = AuditedJournal(journal)
    registry = Registry(audited, settings.hub.agent_lease_s)
    exchange = MessageExchange(audited, clock, registry.topic_of)
    contexts = ContextStore(audited, exchange, clock, freshness.load())
    mirror = Mirror(online, lambda: contexts.latest)
    coordinator = Coordinator(
        contexts,
        registry,
        clock,
        grace_s=settings.hub.build_grace_s,
        expected=settings.hub.expected_agents,
        archive=Archive(journal, History(state / "hub" / "history")),
    )
    tap = FeedTap(
        lambda: local_credential(state, "hub"),
        lambda: push.changed(SIGNALS),
        settings.predictor.calling,
    )
    control = LeaseControl(
        audited,
        clock,
        lambda: contexts.latest,
        lease_s=settings.hub.lease_s,
        canary_share=settings.predictor.canary_share,
        on_heard=tap.follow,
    )
    inference = ModelInference(
        settings.model_server, clock, lambda: contexts.latest, lambda: tap.symbols
    )
    explainer = SignalExplainer(
        journal,
        contexts,
        control.predictors,
        lambda: local_credential(state, "hub"),
        settings.predictor.tls,
    )
    models = ModelControl(settings.model_server, journal, clock, control)
    contexts.on_changed(mirror.on_changed)
    contexts.on_changed(control.pulse.beat)
    contexts.on_changed(lambda: push.changed(DAILY))
    registry.on_changed(lambda: push.changed(AGENTS))
    exchange.on_published(coordinator.on_published)
    exchange.on_published(lambda message, _: _push_message(push, message))

    gate = Gate(Rate(settings.hub.rate_per_s), registry.touch, audit, local)
    verification = KeyVerification(KeyRing(keys_path(state)), tokens)
    status = HubStatus(
        journal, clock, settings.clock.mode, contexts, registry, control, verification, audit
    )
    families = (
        AgentTools(registry, AgentRuns(registry, exchange, clock)),
        ContextTools(exchange, contexts),
        InferenceTools(inference, tap, explainer),
        OperatorTools(control, status, models),
    )
    resources = Resources(exchange, contexts, registry, tap, lambda: tap.symbols, audit.page)
    toolbox = Toolbox(families, gate)
    completions = Completions(gate.resource, lambda: tap.symbols, registry, contexts.dates)
    protocol = Protocol(toolbox, resources, completions, push, gate)
    app = application(settings.hub, protocol.server, toolbox, verification, control, gate)
    hub = Hub(
        app,
        protocol,
        journal,
        exchange,
        registry,
        contexts,
        coordinator,
        mirror,
        control,
        models,
        tap,
        push,
        audit,
    )
    return hub, inference


def _push_message(push: Push, message: ContextMessage) -> None:
    if message.topic is not None:
        push.changed(topic_uri(message.topic))
    if message.target_agent not in (None, BROADCAST):
        push.changed(inbox_uri(str(message.target_agent)))


async def serve(settings: Settings, *, stop: asyncio.Event | None = None) -> None:
    """Serve until ``stop`` is set, by default by SIGTERM or SIGINT; then end in order."""
    stop = stop or stop_event()
    settings.hub.check_bind()
    listener = bind(settings.hub.host, settings.hub.port)
    settings = settings.model_copy(
        update={"hub": settings.hub.model_copy(update={"port": listener.getsockname()[1]})}
    )
    limits = Limits(allow_files(settings.hub.connections), settings.hub.request_s)
    async with build(settings) as hub:
        server = HttpServer(hub.app, hub.before_end, settings.hub.tls, limits)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listener]))
            workers = [
                group.create_task(part.run())
                for part in (hub.coordinator, hub.mirror, hub.tap, hub.models)
            ]
            ready, ended = (group.create_task(each.wait()) for each in (server.ready, stop))
            await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                announce("hub", url=settings.hub.url)
                await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            for task in (*workers, ready, ended):
                task.cancel()


def run(settings: Settings) -> None:
    """Run the hub process on uvloop."""
    uvloop.run(serve(settings))
