"""One frozen ``Settings`` for a run: from ``default.toml``, a settings file, and the environment.

Precedence, strongest first: arguments, the file named by ``RELENTLESS_SETTINGS``, the environment
(``RELENTLESS_HUB__PORT=9000``, and the vendors' own names for keys), ``.env``, ``default.toml``.
Nothing else in the project reads the environment. ``relentless up`` resolves the settings once and
hands the same file to every process that it starts, so that file wins.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from relentless.configs.access import (
    ListenerSettings,
    OAuthSettings,
    Port,
    Seconds,
    Section,
)
from relentless.configs.clock import RunClock
from relentless.configs.tick_path import ModelServerSettings, PredictorSettings
from relentless.proto.contexts import AGENT_TOPICS
from relentless.proto.errors import InvalidSettings

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
"""The project's folder in a checkout, the package's in an installed wheel."""


class ClockSettings(Section):
    """Market time; ``mode = "live"`` ignores the rest."""

    mode: Literal["live", "day"] = "day"
    start: datetime | None = None
    speed: Annotated[float, Field(gt=0, le=100_000)] = 60.0
    epoch: float | None = None
    """Wall seconds since the Unix epoch at ``start``."""


class PathSettings(Section):
    """Where things lie."""

    state: Path = Path("var")
    """Everything that a run writes lies under here."""
    models: Path = REPOSITORY / "models" / "repository"


class HubSettings(ListenerSettings):
    """The MCP hub."""

    section = "hub"

    port: Port = 8765
    rate_per_s: Annotated[float, Field(gt=0)] = 500.0
    """Tool calls a second for each principal, with a burst of as many."""
    connections: Annotated[int, Field(ge=16)] = 4_096
    """Open at a time; further ones are refused."""
    request_s: Seconds = 30.0
    """Wall seconds in which a request must have come, body and all."""
    lease_s: Seconds = 1.0
    """A predictor emits only under a lease of this length."""
    agent_lease_s: Seconds = 60.0
    build_grace_s: Seconds = 30.0
    """Wall seconds that a scheduled build waits for the agents that were due before it."""
    expected_agents: tuple[str, ...] = tuple(AGENT_TOPICS)
    """Agents that a scheduled build waits for also before they have registered."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which clients reach the hub, for the check of the Host header."""
    oauth: OAuthSettings | None = None

    @property
    def base_url(self) -> str:
        """Where the hub is reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"{self.base_url}/mcp"


class SourceSettings(Section):
    """One upstream source. Without a key the sandbox stands in for it."""

    url: str
    key: SecretStr | None = None
    secret: SecretStr | None = None
    rate_per_min: Annotated[float, Field(gt=0)] = 60.0
    timeout_s: Seconds = 10.0
    origin: Literal["live", "recorded", "synthetic"] = "live"
    """What stands behind ``url``: written into the evidence of what is read there."""
    user_agent: str | None = None
    """In place of our own; EDGAR wants a contact in it."""
    limit_group: str | None = None
    """Sources of one group share one rate limit, over all processes of the machine."""


class SourcesSettings(Section):
    """Every upstream source."""

    fred: SourceSettings
    congress: SourceSettings
    alpaca: SourceSettings
    """``url`` is the websocket's."""
    alpaca_data: SourceSettings
    """Alpaca's REST service: news and option snapshots."""
    sec: SourceSettings
    """EDGAR's JSON, data.sec.gov."""
    sec_archive: SourceSettings
    """EDGAR's files and feeds, www.sec.gov."""
    cnbc: SourceSettings
    wsj: SourceSettings
    ft: SourceSettings
    bloomberg: SourceSettings
    reuters: SourceSettings
    """Reuters has no feed of its own; Google News lists its stories."""
    gdelt: SourceSettings
    cboe: SourceSettings
    tradier: SourceSettings
    yahoo: SourceSettings
    nasdaq: SourceSettings
    alphavantage: SourceSettings
    fred_web: SourceSettings
    """FRED's site, whose release calendar has times of day."""

    def stood_in_for(self) -> bool:
        """Say whether the sandbox stands in for any source."""
        return any(getattr(self, name).origin != "live" for name in type(self).model_fields)

    @classmethod
    def every(cls, source: SourceSettings) -> "SourcesSettings":
        """Give settings in which one source stands for all, under each one's own path."""
        return cls(
            **{
                name: source.model_copy(
                    update={"url": source.url + SANDBOX_PATHS.get(name, f"/{name}")}
                )
                for name in cls.model_fields
            }
        )


SANDBOX_PATHS: Mapping[str, str] = {"fred": "", "congress": "", "alpaca": "/v2/iex"}
"""Where the sandbox serves a source; every other one lies under its own name."""

OPEN_SOURCES: tuple[str, ...] = (
    *("cnbc", "wsj", "ft", "bloomberg", "reuters", "gdelt"),
    *("cboe", "yahoo", "nasdaq", "fred_web"),
)
"""Sources that ask for no key. A live run reads those that ``open_sources`` names: their terms
allow personal use, which nobody but the user can know."""


class NewsSettings(Section):
    """The news agent's reading of stories."""

    engine: Literal["auto", "claude", "offline"] = "auto"
    """``auto`` is Claude in a live run with ANTHROPIC_API_KEY, else the offline engine."""
    model: str = "claude-haiku-4-5"
    url: str | None = None
    """Of the Messages API; the SDK's own where absent."""
    daily_tokens: Annotated[int, Field(gt=0)] = 2_000_000
    daily_usd: Annotated[float, Field(gt=0)] = 2.0
    """Past either budget the offline engine reads the rest of the day's stories."""


class SandboxSettings(Section):
    """The upstream APIs in a box."""

    host: str = "127.0.0.1"
    port: Port = 8770
    day: str = "2013-10-07"
    seed: int = 20131007
    tape: Literal["clock", "fast"] = "clock"
    """Recorded ticks follow the run's clock, or go as fast as they are taken."""


class TraderSettings(Section):
    """The paper trading agent."""

    cash: Annotated[float, Field(gt=0)] = 1_000_000.0
    max_notional: Annotated[float, Field(gt=0)] = 50_000.0


class AskSettings(Section):
    """``relentless ask``."""

    model: str = "claude-sonnet-5-5"
    url: str | None = None
    """Of the Messages API; the SDK's own where absent."""
    tokens: Annotated[int, Field(gt=0)] = 300_000
    """Of one question, all rounds together."""
    usd: Annotated[float, Field(gt=0)] = 0.50


class RedisSettings(Section):
    """The online feature store; in process where there is no URL."""

    url: str | None = None


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else _text(value)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="RELENTLESS_",
        env_nested_delimiter="__",
        env_file=".env",
        env_file_encoding="utf-8",
        frozen=True,
        extra="ignore",
        toml_file=HERE / "default.toml",
        populate_by_name=True,
    )

    clock: ClockSettings = ClockSettings()
    paths: PathSettings = PathSettings()
    hub: HubSettings = HubSettings()
    sources: SourcesSettings
    sandbox: SandboxSettings = SandboxSettings()
    model_server: ModelServerSettings = ModelServerSettings()
    predictor: PredictorSettings = PredictorSettings()
    trader: TraderSettings = TraderSettings()
    news: NewsSettings = NewsSettings()
    ask: AskSettings = AskSettings()
    redis: RedisSettings = RedisSettings()

    fred_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("fred_api_key", "FRED_API_KEY")
    )
    congress_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("congress_api_key", "CONGRESS_API_KEY")
    )
    alpaca_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("alpaca_api_key", "ALPACA_API_KEY")
    )
    alpaca_secret_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("alpaca_secret_key", "ALPACA_SECRET_KEY")
    )
    tradier_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("tradier_api_key", "TRADIER_API_KEY")
    )
    alphavantage_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("alphavantage_api_key", "ALPHAVANTAGE_API_KEY")
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("anthropic_api_key", "ANTHROPIC_API_KEY")
    )
    sec_contact: str | None = Field(
        default=None, validation_alias=AliasChoices("sec_contact", "SEC_CONTACT")
    )
    """"Company name contact@mail": EDGAR is asked under it, or not at all."""
    open_sources: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=AliasChoices("open_sources", "RELENTLESS_OPEN_SOURCES")
    )
    """Names of ``OPEN_SOURCES``, separated by commas, or "all"."""
    recordings: Path | None = Field(
        default=None, validation_alias=AliasChoices("recordings", "RELENTLESS_RECORDINGS")
    )
    """A folder of recorded data that the sandbox serves instead of the shipped day."""

    @field_validator("open_sources", mode="before")
    @classmethod
    def _read_open_sources(cls, value: object) -> object:
        """Read the comma-separated names."""
        if not isinstance(value, str):
            return value
        names = tuple(name for part in value.split(",") if (name := part.strip()))
        if names == ("all",):
            return OPEN_SOURCES
        if unknown := set(names) - set(OPEN_SOURCES):
            raise ValueError(
                f"no open source {', '.join(sorted(unknown))}; there are: {', '.join(OPEN_SOURCES)}"
            )
        return names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the module says."""
        toml = TomlConfigSettingsSource(settings_cls)
        if resolved := os.environ.get("RELENTLESS_SETTINGS"):
            if not Path(resolved).is_file():
                raise InvalidSettings(f"RELENTLESS_SETTINGS names {resolved}, which is no file")
            return init_settings, JsonConfigSettingsSource(settings_cls, json_file=resolved), toml
        return init_settings, env_settings, dotenv_settings, toml

    def dump(self) -> str:
        """Give the settings as JSON, secrets included: for a file that its owner alone reads."""
        return json.dumps(self.model_dump(mode="python"), default=_plain, indent=1)

    def run_clock(self) -> RunClock:
        """Give the run's clock.

        Raises:
            ValueError: a day's clock without start or epoch (``relentless up`` fills both).
        """
        if self.clock.mode == "live":
            return RunClock.live()
        if self.clock.start is None or self.clock.epoch is None:
            raise ValueError(
                "the day's clock has no start or no epoch; run it by `relentless up`, or set "
                "RELENTLESS_CLOCK__START and RELENTLESS_CLOCK__EPOCH"
            )
        return RunClock(self.clock.start, self.clock.speed, self.clock.epoch)
