"""Who of the other side is closed when a takeover costs more than the insurance fund can bear, how much of it, and when that is near."""

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
    soon_fund_share: Decimal = Decimal("0.3")
    """The risk (`engine.liquidation.adl_risk`) is `soon` where liquidations are expected to take at least this share of a group's fund."""
    active_fund_share: Decimal = Decimal(1)
    """... and `active` at this one."""
    risk_exit_band: Decimal = Decimal("0.05")
    """A level is left only below its share less this ..."""
    risk_hold_seconds: Decimal = Decimal(60)
    """... held for this long in event time."""


def faults(rules: DeleveragingRules) -> Iterator[tuple[str, str]]:
    """(key, rule broken)."""
    if not 0 <= rules.neutral_share_max < 1:
        yield "neutral_share_max", "must lie in 0..1, below 1"
    if rules.soon_fund_share <= 0:
        yield "soon_fund_share", "must be > 0"
    if rules.active_fund_share < rules.soon_fund_share:
        yield "active_fund_share", "must be >= soon_fund_share"
    if not 0 <= rules.risk_exit_band < rules.soon_fund_share:
        yield "risk_exit_band", "must lie in 0..soon_fund_share, below it"
    if rules.risk_hold_seconds < 0:
        yield "risk_hold_seconds", "must be >= 0"
