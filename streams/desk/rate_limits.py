"""How often one caller may ask: a bucket of tokens each, that fills evenly."""

import math
import time
from collections import OrderedDict

CALLERS_MAX = 10_000
"""Buckets kept; of more the one that was used longest ago is forgotten, and begins full again."""


class RateLimits:
    """A bucket a caller, by name."""

    def __init__(self) -> None:
        """Every bucket is full."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str, per_minute: int, now_s: float | None = None) -> int:
        """Take a token: 0 where there was one, else whole seconds until the next."""
        now_s = time.monotonic() if now_s is None else now_s
        left, at_s = self._buckets.pop(caller, (float(per_minute), now_s))
        # tokens = min(burst, left + elapsed * rate); a minute's worth may be asked at once
        tokens = min(float(per_minute), left + (now_s - at_s) * per_minute / 60)
        taken = tokens >= 1
        self._buckets[caller] = (tokens - taken, now_s)
        while len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        return 0 if taken else math.ceil((1 - tokens) * 60 / per_minute)
