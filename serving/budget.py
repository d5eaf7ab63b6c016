"""How many further attempts a caller may make: a share of its requests, whatever fails.

gRPC's own ``retryThrottling`` belongs to one channel; here the attempts of one request go to
several servers, so the caller holds the budget.
"""

import threading

SHARE = 0.2
"""Further attempts for each request, in the long run."""
BURST = 10.0
"""Attempts that may be saved up; as many are there at the start."""


class RetryBudget:
    """A token bucket: a request adds ``share`` of a token, a further attempt takes a whole one.

    After N requests at most ``burst + share * N`` further attempts were made. Safe for concurrent
    use.
    """

    def __init__(self, share: float = SHARE, burst: float = BURST) -> None:
        self._share = share
        self._burst = burst
        self._tokens = burst
        self._lock = threading.Lock()
        self.taken = 0
        """Further attempts that were made."""
        self.withheld = 0
        """Further attempts that there was no token for."""

    def request(self) -> None:
        """Note a request's first attempt."""
        with self._lock:
            self._tokens = min(self._burst, self._tokens + self._share)

    def take(self) -> bool:
        """Take a token for a further attempt; False: there is none, so do not make it."""
        with self._lock:
            if self._tokens < 1.0:
                self.withheld += 1
                return False
            self._tokens -= 1.0
            self.taken += 1
            return True
