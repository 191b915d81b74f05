"""How much may be condemned at once before liquidations wait for a person."""

from decimal import Decimal

from engine.policy.rules.tables import Table


class BreakerRules(Table, frozen=True, kw_only=True):
    """The largest shares of a shard that one instant of marks, one batch of inputs or one window may condemn. A policy without has no breaker.

    Condemned is a pool that enters liquidation or bankruptcy from a better band. Shares are of the accounts that hold or owe
    anything, of the open interest (both sides, at the prices before the window) and of the equity paid in (wallets at those prices).
    The defaults: of 2,000 made-up accounts on the trades of 2025-10-10, 876 of which went bankrupt within 90 minutes, no ten seconds
    condemned more than 1.3 % of accounts, 2.7 % of open interest and 1.4 % of equity.
    """

    accounts_share_max: Decimal = Decimal("0.1")
    open_interest_share_max: Decimal = Decimal("0.15")
    equity_share_max: Decimal = Decimal("0.1")
    window_seconds: Decimal = Decimal(10)
    """Event time over which condemnations add up; one cause alone is always looked at."""
    accounts_min: int = 100
    """Fewer condemned accounts of a shard than this never open it: a small shard is not a market."""


def faults(rules: BreakerRules) -> list[tuple[str, str]]:
    """(key, rule) of every rule that these break."""
    found = [
        (name, "must lie in 0..1")
        for name in ("accounts_share_max", "open_interest_share_max", "equity_share_max")
        if not 0 < getattr(rules, name) <= 1
    ]
    if rules.window_seconds < 0:
        found.append(("window_seconds", "must be >= 0"))
    if rules.accounts_min < 1:
        found.append(("accounts_min", "must be >= 1"))
    return found
