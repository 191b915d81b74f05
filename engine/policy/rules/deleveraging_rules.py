"""Who of the other side is closed when a takeover costs more than the insurance fund can bear, and how much of it."""

from collections.abc import Iterator
from decimal import Decimal

from engine.policy.rules.policy_switches import AdlRanking, DeleveragedSize, Deleveraging
from engine.policy.rules.tables import Table


class DeleveragingRules(Table, frozen=True, kw_only=True):
    """What `engine.liquidation.deleveraging` spreads a deficit by. Binance, Bybit, OKX and Hyperliquid publish a queue."""

    rule: Deleveraging = Deleveraging.QUEUE
    size: DeleveragedSize = DeleveragedSize.DEFICIT
    ranking: AdlRanking = AdlRanking.LEVERAGE_WEIGHTED
    """Of the queue."""
    neutral_last: bool = False
    """Accounts that are hedged in the underlying give only what the others cannot."""
    neutral_share_max: Decimal = Decimal("0.1")
    """An account is hedged where its net delta in the underlying is at most this share of its gross delta."""


def faults(rules: DeleveragingRules) -> Iterator[tuple[str, str]]:
    """(key, rule broken)."""
    if not 0 <= rules.neutral_share_max < 1:
        yield "neutral_share_max", "must lie in 0..1, below 1"
