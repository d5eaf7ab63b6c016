"""Where a signal's target and stop lie, and the price that they were reckoned from. Pure.

Apart from the policy, which is compiled: who only reads signals imports no compiler.
"""

K_TARGET = 20.0
"""Volatilities of one tick from the price to the target: what a random walk covers in 400 ticks."""
K_STOP = 10.0
"""And to the stop: 100 ticks, so that the bounce between bid and ask does not reach it."""


def reference_price(price_target: float, stop_loss: float) -> float:
    """Give the price that a signal was made at, from the two levels it carries.

    Exact up to the frame's float32: within 2e-7 of the tick's price, relatively.
    """
    return (K_STOP * price_target + K_TARGET * stop_loss) / (K_STOP + K_TARGET)
