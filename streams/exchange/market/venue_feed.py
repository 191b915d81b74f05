"""What a venue publishes of its prices when something is wrong with them: an order book that is off, a cache from before a halt."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np

from engine.inputs import Mark
from engine.policy import Policy
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.named_scenarios import Incident


class Venue:
    """Stands between true prices and the feed. Without an incident it changes nothing."""

    def __init__(self, policy: Policy, incident: Incident, seconds: float) -> None:
        """`seconds`: length of the market. Raises `FeedError` where the policy does not price what the incident is about."""
        self._incident, self._seconds = incident, seconds
        missing = incident.quoted.keys() - policy.price_symbols.keys()
        if missing:
            raise FeedError(
                f"policy {policy.name!r} does not price {', '.join(sorted(missing))}: "
                "`unimargin simulate --write-policy FILE` writes the scenario's own"
            )
        self._indices = {asset.index for asset in policy.assets.values() if asset.index}
        self._before_halt: dict[str, Mark] = {}
        self._published: list[Mark] = []

    def falls_silent(self) -> None:
        """The last marks are what a cache would have."""
        self._before_halt = {mark.symbol: mark for mark in self._published if mark.symbol in self._indices}

    def trades(self, second: float) -> bool:
        """Whether orders are taken: not before prices, after a silence."""
        return not self._before_halt or second / self._seconds >= self._incident.trades_from

    def published(self, marks: Sequence[Mark], second: float) -> list[Mark]:
        """The true `marks` as they go out."""
        part = second / self._seconds
        self._published = [self._off(mark, part) for mark in marks]
        if part < self._incident.caches_until:
            return [self._before_halt.get(mark.symbol, mark) for mark in self._published]
        return self._published

    def _off(self, mark: Mark, part: float) -> Mark:
        points = self._incident.quoted.get(mark.symbol)
        if points is None:
            return mark
        parts, shares = zip(*points, strict=True)
        # published = true price * share, in the true price's decimals
        share = Decimal(repr(round(float(np.interp(part, parts, shares)), 6)))
        return msgspec.structs.replace(mark, price=(mark.price * share).quantize(mark.price))
