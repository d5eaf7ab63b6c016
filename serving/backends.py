"""Makes the client of the model servers that the settings name."""

from collections.abc import Mapping

import grpc

from relentless.configs.tick_path import ModelServerSettings
from relentless.proto.errors import InvalidSettings
from relentless.serving.balanced import PRIMARY, SECONDARY, Answer, BalancedPredictor
from relentless.serving.ports import Array, Embedded, Predictor
from relentless.serving.tf_client import ATTEMPTS, TfServingPredictor, channel_options


def balanced(settings: ModelServerSettings, edge: Predictor | None = None) -> BalancedPredictor:
    """Give a client of every server named, with the engine behind them where one is given."""
    return BalancedPredictor(
        (
            (PRIMARY, _clients((settings.address, *settings.replicas), settings)),
            (SECONDARY, _clients(settings.secondary, settings)),
        ),
        edge=edge,
        timeout_s=settings.timeout_s,
    )


def client(settings: ModelServerSettings) -> Predictor:
    """Give a client of the one server, or of all where more are named."""
    return balanced(settings) if settings.replicas or settings.secondary else single(settings)


def single(settings: ModelServerSettings) -> TfServingPredictor:
    """Give a client of the first server alone: the one whose labels the lifecycle sets."""
    return _client(settings.address, settings, ATTEMPTS)


def channel_to(address: str, settings: ModelServerSettings) -> grpc.Channel:
    """Open a channel to an address, with TLS where the settings have it.

    Raises:
        InvalidSettings: a file of theirs cannot be read.
    """
    tls, options = settings.tls, channel_options(address)
    if tls is None or address.startswith("unix:"):
        return grpc.insecure_channel(address, options)
    try:
        pems = [None if path is None else path.read_bytes() for path in (tls.ca, tls.key, tls.cert)]
    except OSError as error:
        raise InvalidSettings(f"model_server.tls: {error}") from error
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*pems), options)


def answer_of(predictor: Predictor, features: Array, context: Embedded) -> Answer:
    """Predict, and say whether another site than the first answered.

    Raises:
        ModelError: as ``ports.Predictor.predict``.
    """
    if isinstance(predictor, BalancedPredictor):
        return predictor.answer(features, context)
    return Answer(predictor.predict(features, context), False)


def _clients(
    addresses: tuple[str, ...], settings: ModelServerSettings
) -> Mapping[str, TfServingPredictor]:
    return {address: _client(address, settings, 1) for address in addresses}


def _client(address: str, settings: ModelServerSettings, attempts: int) -> TfServingPredictor:
    return TfServingPredictor(
        address,
        settings.name,
        timeout_s=settings.timeout_s,
        channel=channel_to(address, settings),
        attempts=attempts,
    )
