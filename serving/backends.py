"""Makes the client of the model servers that the settings name."""

from collections.abc import Mapping

from relentless.configs.settings import ModelServerSettings
from relentless.serving.balanced import PRIMARY, SECONDARY, Answer, BalancedPredictor
from relentless.serving.ports import Array, Embedded, Predictor
from relentless.serving.tf_client import TfServingPredictor


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
    if settings.replicas or settings.secondary:
        return balanced(settings)
    return TfServingPredictor(settings.address, settings.name, timeout_s=settings.timeout_s)


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
    return {
        address: TfServingPredictor(
            address, settings.name, timeout_s=settings.timeout_s, attempts=1
        )
        for address in addresses
    }
