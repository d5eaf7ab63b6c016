"""What the tick features are: names, constants, and the digest that ties a model to them.

Pure and light: no numpy, no compiler. ``features`` computes them; the manifest of every trained
model names the digest, and a model with another digest is refused.

Notation, per symbol. A *price tick* has a price between 0 and ``PLAUSIBLE`` and is not marked
``not_last``; the n-th one has the log price ``x`` and, from the second on, the return
``r = x - x_before`` (there are ``m = n - 1`` returns). ``EW_s(q)`` is the exponentially weighted
mean of span s: it moves by ``max(2 / (s + 1), 1 / k)`` of the way to its k-th value, so that it
starts as the plain mean. ``v_s = EW_s(r * r)``; ``vol_s = sqrt(v_s + FLOOR ** 2)``;
``sigma = vol_32`` (32 ticks: close to RiskMetrics' 0.94). Every feature is free of the price's
scale and of the clock's, so that daily bars and live ticks can pass through the same network. All
are finite, zero where undefined, and within ``LIMIT`` in size.
"""

import hashlib
import json

DEFINITION_VERSION = 1
"""Goes up with every change of a definition below; part of the digest."""

LIMIT = 8.0
"""Features are cut to [-LIMIT, LIMIT]."""
FLOOR = 1e-6
"""Added in quadrature to every volatility: a return of a hundredth of a basis point."""
SIGMA_SPAN = 32
"""Span, in price ticks, of the volatility that everything is measured in."""
PLAUSIBLE = 1e12
"""Prices and volumes lie between 0 and this, both excluded; others are passed over."""
READY_RETURNS = 64
"""Returns that a symbol needs before its features count."""

_DEFINITIONS: dict[str, str] = {
    "ret_1": "r / sigma, of the last price tick",
    "ret_5": "(x - EW_5(x)) / (sigma * sd_5), sd_s = (1 - a) / sqrt(1 - (1 - a)^2), a = 2 / (s + 1)"
    ": the standard deviation of a random walk's distance from its EW mean",
    "ret_21": "(x - EW_21(x)) / (sigma * sd_21)",
    "ret_63": "(x - EW_63(x)) / (sigma * sd_63)",
    "ret_126": "(x - EW_126(x)) / (sigma * sd_126)",
    "ema_5_21": "(EW_5(x) - EW_21(x)) / (sigma * sqrt(21)): log of the ratio of two price averages",
    "ema_21_126": "(EW_21(x) - EW_126(x)) / (sigma * sqrt(126))",
    "macd": "(EW_12(x) - EW_26(x)) / (sigma * sqrt(26))",
    "macd_signal": "EW_9(EW_12(x) - EW_26(x)) / (sigma * sqrt(26))",
    "rsi_14": "2 * g / (g + l) - 1; g, l: means of max(r, 0) and max(-r, 0) smoothed by"
    " max(1 / 14, 1 / m), Wilder's way; 0 where g + l = 0",
    "abs_ret_1": "|r| / sigma",
    "vol_5": "log(vol_5 / sigma)",
    "vol_126": "log(sigma / vol_126)",
    "vol_504": "log(vol_126 / vol_504)",
    "downside": "2 * EW_126(min(r, 0)^2) / (v_126 + FLOOR^2) - 1; 0 before the first return",
    "skew": "EW_126(r^3) / vol_126^3",
    "kurtosis": "log((EW_126(r^4) + FLOOR^4) / vol_126^4) - log(3)",
    "autocorr": "EW_32(r * r_before) / vol_32^2, r_before = 0 at first, cut to [-1, 1]",
    "drawdown": "(x - h) / (sigma * sqrt(63)); h = max(x, h + (x - h) * 2 / 253): a fading high",
    "runup": "(x - l) / (sigma * sqrt(63)); l = min(x, l + (x - l) * 2 / 253): a fading low",
    "range_position": "2 * (x - l) / (h - l) - 1; 0 where h = l",
    "volume_z": "(w - EW_63(w)) / sqrt(EWvar_63(w) + 1e-4), w = log(volume), over ticks with volume"
    " (also not_last); EWvar <- (1 - a) * (EWvar + a * (w - EW_63(w) before)^2)",
    "volume_trend": "(EW_5(w) - EW_63(w)) / sqrt(EWvar_63(w) + 1e-4)",
    "signed_volume": "EW_21(side * volume) / EW_21(volume); side: sign of the last non-zero r",
    "vwap_deviation": "(price / (EW_63(price * volume) / EW_63(volume)) - 1) / (sigma * sd_63),"
    " over price ticks with volume",
    "spread": "log(1 + (ask - bid) / mid / sigma), of the last quote; 0 without one",
    "quote_position": "(price - mid) / ((ask - bid) / 2), cut to [-1, 1]; 0 where locked or no"
    " quote: where the last price lies in the quote",
    "quote_pressure": "EW_21(quote_position) over price ticks with a quote",
    "gap": "log((dt + 1 us) / (EW_63(dt) + 1 us)), cut to [-2, 2]; dt: seconds since the price tick"
    " before, not below 0",
    "warm": "min(1, m / READY_RETURNS)",
    "has_quote": "1 once a quote was seen (0 < bid <= ask)",
    "has_volume": "1 once a volume was seen",
}

TICK_FEATURES: tuple[str, ...] = tuple(_DEFINITIONS)
"""Names of the F columns, in order."""


def definition(name: str) -> str:
    """Give the formula of one feature in the module's notation."""
    return _DEFINITIONS[name]


def feature_digest() -> str:
    """Give the SHA-256, in hex, over names, formulas, constants and the definition's version."""
    says = [
        DEFINITION_VERSION,
        LIMIT,
        FLOOR,
        SIGMA_SPAN,
        PLAUSIBLE,
        READY_RETURNS,
        list(_DEFINITIONS.items()),
    ]
    return hashlib.sha256(json.dumps(says, separators=(",", ":")).encode()).hexdigest()
