"""Settings of what turns ticks into signals: the model servers and the predictor.

Two sections of :class:`relentless.configs.settings.Settings`.
"""

from typing import Annotated, Literal

from pydantic import Field

from relentless.configs.access import (
    CallerTlsSettings,
    ListenerSettings,
    Port,
    Seconds,
    Section,
)


class ModelServerSettings(Section):
    """TensorFlow Serving's address: the embedded server's unless one is given."""

    address: str = "127.0.0.1:8500"
    external: bool = False
    """Something else runs at ``address``; do not start the embedded server."""
    replicas: tuple[str, ...] = ()
    """More servers of the same site: requests are spread over ``address`` and these."""
    secondary: tuple[str, ...] = ()
    """Servers of another site, asked while none of the first site's answers."""
    tls: CallerTlsSettings | None = None
    """Towards every address that is no Unix socket."""
    rest_port: Port = 8501
    """Of the embedded server, on loopback: TensorFlow Serving's REST API and Prometheus metrics; 0
    opens none."""
    name: str = "relentless_financial"
    timeout_s: Seconds = 1.0


class PredictorSettings(ListenerSettings):
    """The tick path and the signal feed."""

    section = "predictor"

    grpc_port: Port = 8780
    feed_port: Port = 8781
    backend: Literal["engine", "server"] = "engine"
    """What predicts ticks: the engine in this process, or the model servers through a hop."""
    edge: bool = True
    """With ``backend = "server"``: the engine predicts while no model server answers."""
    symbols: tuple[str, ...] = ("SPY", "XLF", "TLT", "IBM", "AAPL", "MSFT", "JPM", "XOM")
    canary_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    max_signals_per_s: Annotated[int, Field(gt=0)] = 2_000_000
    max_position: Annotated[float, Field(gt=0, le=1)] = 1.0
    price_collar: Annotated[float, Field(gt=0)] = 0.10
    """Refuse a target further than this fraction from the tick's price."""
    context_max_age_s: Seconds = 28 * 3600.0
    """Market seconds after which a daily context is stale for every tick."""
    replay_frames: Annotated[int, Field(gt=0)] = 262_144
    enter_probability: Annotated[float, Field(ge=0.5, le=1)] = 0.52
    """A side is taken from this probability on (``models.policy``)."""
    stay_probability: Annotated[float, Field(ge=0.5, le=1)] = 0.505
    """And kept down to this one."""
    cost_weight: Annotated[float, Field(ge=0)] = 1.0
    """A side is taken where the expected move is at least so many half spreads."""
