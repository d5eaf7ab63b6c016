"""The network in Keras: its layers, its loss, and one fit. The formulas are those of ``weights``.

Below training, beside export; it imports TensorFlow through ``tensorflow_door`` only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from relentless.models.tensorflow_door import tensorflow
from relentless.models.weights import DEEP, EMBEDDING, HEAD_NAMES, HIDDEN, Array, Weights

RETURN_CUT = 6.0
"""Returns over the horizon are cut to so many ``sigma * sqrt(horizon)`` in the loss."""
VARIANCE_CUT = 25.0
RATIO_FLOOR = 0.05
"""Keeps the variance's loss finite where the ratio's head says nearly nothing."""


@dataclass(frozen=True)
class Recipe:
    """How one version is fitted."""

    seed: int
    learning_rate: float = 1e-3
    weight_decay: float = 2e-4
    """L2 penalty on the first two layers' kernels."""
    encoder_decay: float = 1e-2
    """L2 penalty on the encoder's kernel and the layer that it feeds."""
    dropout: float = 0.1
    batch: int = 1024
    epochs: int = 12
    patience: int = 3
    """Epochs without a better validation loss before the fit ends."""
    mask_context: float = 0.6
    """Share of rows whose whole context is masked while fitting."""
    mask_feature: float = 0.3
    """Share of the remaining context values that are masked, each on its own."""
    mask_volume: float = 0.3
    """Share of rows whose volume features are masked."""


@dataclass(frozen=True)
class Network:
    """The layers, and the model that trains them: (features, context vector) -> sums [N, 4]."""

    encoder: Any
    w1_features: Any
    w1_context: Any
    second: Any
    heads: Any
    trainer: Any

    def weights(self) -> Weights:
        """Give the weights as arrays."""
        kernel, bias = self.encoder.get_weights()
        (w1_features,) = self.w1_features.get_weights()
        arrays = [kernel, bias, w1_features]
        for layer in (self.w1_context, self.second, self.heads):
            arrays += layer.get_weights()
        return Weights(*(np.asarray(array, np.float32) for array in arrays))

    def load(self, weights: Weights) -> None:
        """Set the layers to given weights."""
        self.encoder.set_weights([weights.encoder_kernel, weights.encoder_bias])
        self.w1_features.set_weights([weights.w1_features])
        self.w1_context.set_weights([weights.w1_context, weights.b1])
        self.second.set_weights([weights.w2, weights.b2])
        self.heads.set_weights([weights.w3, weights.b3])


def build(features: int, context: int, recipe: Recipe, base: Array | None = None) -> Network:
    """Build the network for F and C; ``base`` [4] are target means that the heads start from."""
    keras = tensorflow().keras
    keras.utils.set_random_seed(recipe.seed)
    dense, decay = keras.layers.Dense, keras.regularizers.L2
    encoder = dense(
        EMBEDDING, "tanh", name="encoder", kernel_regularizer=decay(recipe.encoder_decay)
    )
    w1_features = dense(
        HIDDEN, use_bias=False, name="w1_features", kernel_regularizer=decay(recipe.weight_decay)
    )
    w1_context = dense(HIDDEN, name="w1_context", kernel_regularizer=decay(recipe.encoder_decay))
    second = dense(DEEP, "relu", name="second", kernel_regularizer=decay(recipe.weight_decay))
    start = keras.initializers.Constant(_starting_sums(base))
    small = keras.initializers.RandomNormal(stddev=0.01, seed=recipe.seed)
    heads = dense(len(HEAD_NAMES), name="heads", kernel_initializer=small, bias_initializer=start)

    x = keras.Input((features,), name="features")
    c = keras.Input((context,), name="context_vector")
    hidden = keras.layers.Add()([w1_features(x), w1_context(encoder(c))])
    hidden = keras.layers.Dropout(recipe.dropout)(keras.layers.ReLU()(hidden))
    trainer = keras.Model([x, c], heads(second(hidden)), name="relentless_financial")
    return Network(encoder, w1_features, w1_context, second, heads, trainer)


def _starting_sums(base: Array | None) -> list[float]:
    """Give the last layer's biases that say the base rates, no return, and a ratio of one."""
    up, big = (0.5, 0.05) if base is None else (float(base[0]), float(base[3]))
    return [math.log(up / (1 - up)), 0.0, math.log(math.e - 1.0), math.log(big / (1 - big))]


def loss(horizon: int) -> Callable[[Any, Any], Any]:
    """Give the training loss: targets [N, 4] as in ``datasets.TARGETS``, sums [N, 4].

    Cross-entropy for ``p_up`` and ``risk``; squared error of the return in ``sigma * sqrt(h)``, a
    quarter of it; and for the ratio the quasi-likelihood ``v / s^2 + log(s^2)`` of a variance v
    (Patton, 2011, "Volatility forecast comparison using imperfect volatility proxies"), whose
    minimum is the expected variance however noisy its proxy.
    """
    tf = tensorflow().tf
    unit = math.sqrt(horizon)

    def total(targets: Any, sums: Any) -> Any:
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        up = entropy(targets[:, 0], sums[:, 0])
        big = entropy(targets[:, 3], sums[:, 3])
        wanted = tf.clip_by_value(targets[:, 1] / unit, -RETURN_CUT, RETURN_CUT)
        off = tf.square(wanted - sums[:, 1] / unit)
        expected = tf.square(tf.nn.softplus(sums[:, 2])) + RATIO_FLOOR**2
        quasi = tf.minimum(targets[:, 2], VARIANCE_CUT) / expected + tf.math.log(expected)
        return up + big + 0.25 * off + quasi

    return total


Rows = tuple[Array, Array, Array]
"""Features [N, F], context vectors [N, C], targets [N, 4]."""
Masker = Callable[[np.random.Generator, Array, Array], tuple[Array, Array]]
"""Gives the masked copies of features and contexts that one epoch is fitted to."""


@dataclass(frozen=True)
class Fitted:
    """What a fit came to."""

    epoch: int
    """The epoch, from 1, whose weights were kept."""
    losses: tuple[float, ...]
    """Validation loss after each epoch."""


def fit(
    network: Network, recipe: Recipe, horizon: int, training: Rows, validation: Rows, mask: Masker
) -> Fitted:
    """Fit by Adam until the validation loss stops falling; keep the best epoch's weights."""
    tf, keras = tensorflow()
    measure = loss(horizon)
    network.trainer.compile(optimizer=keras.optimizers.Adam(recipe.learning_rate), loss=measure)
    rng = np.random.default_rng(recipe.seed)
    held = [tf.constant(part) for part in validation]
    best, losses = network.weights(), [math.inf]
    for _ in range(recipe.epochs):
        order = rng.permutation(len(training[0]))
        features, contexts = mask(rng, training[0][order], training[1][order])
        network.trainer.fit(
            [features, contexts],
            training[2][order],
            batch_size=recipe.batch,
            shuffle=False,
            verbose=0,
        )
        sums = network.trainer([held[0], held[1]], training=False)
        found = float(tf.reduce_mean(measure(held[2], sums)))
        if found < min(losses):
            best = network.weights()
        losses.append(found)
        if len(losses) - 1 - int(np.argmin(losses)) >= recipe.patience:
            break
    network.load(best)
    return Fitted(int(np.argmin(losses)), tuple(losses[1:]))
