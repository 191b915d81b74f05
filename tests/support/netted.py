"""The wide policy under portfolio margin: shocks of 10 and 20 %, 1 % of basis, initial 1.3 times maintenance."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.margin.figures import Figures
from engine.margin.portfolio.portfolio_pool import portfolio_figures
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.policy.rules.portfolio_rules import BasisRisk, Correlation, Grid, PortfolioRules, UnitRules
from tests.support.builders import Number, mark, prices
from tests.support.wide import holding, wide, with_pool

D = Decimal
UNIT = UnitRules(
    grid=Grid(prices=tuple(map(D, ("-0.2", "-0.1", "0", "0.1", "0.2"))), volatilities=("none",)),
    basis=BasisRisk(move_min=D("0.01"), netting="hedged"),
)
RULES = PortfolioRules(
    units={"default": UNIT},
    correlations=(Correlation(first="ETH", second="ADA", rate=D("0.8"), cap=D("0.5")),),
    initial_factor=D("1.3"),
)
POLICY = with_pool(
    msgspec.structs.replace(
        wide(("[instruments.BTC-40000-P]", '[instruments.BTC-40000-P]\nforward = "BTC-FWD"')), portfolio=RULES
    ),
    model="portfolio",
)
QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 50_000,
    "BTC-PERP": 50_000,
    "USD-PERP": 50_000,
    "BTC-DEC": 50_000,
    "BTC-INV": 50_000,
    "ETH-PERP": 3_000,
    "ADA-PERP": "1.5",
    "BTC-FWD": 50_000,
    # without volatility an option is worth what it would pay now
    "BTC-50000-C": mark("BTC-50000-C", 100, volatility=0),
    "BTC-40000-P": mark("BTC-40000-P", 50, volatility=0),
}
AT = prices(QUOTES)


def at_prices(stale: Iterable[str] = (), **moved: Number) -> Prices:
    """`QUOTES` with some moved; an underscore of a keyword stands for the dash of its symbol."""
    return prices({**QUOTES, **{symbol.replace("_", "-"): price for symbol, price in moved.items()}}, stale)


def netted(
    balances: dict[str, Number],
    positions: dict[str, tuple[Number, Number]] | None = None,
    at: Prices = AT,
    policy: Policy = POLICY,
    **fields: object,
) -> Figures:
    """Figures of an account under portfolio margin."""
    return portfolio_figures(holding(policy, balances, positions, **fields), at, policy)


def with_rules(unit: UnitRules = UNIT, policy: Policy = POLICY, **rules: object) -> Policy:
    """The same policy, every underlying margined by `unit`."""
    changed = msgspec.structs.replace(RULES, units={"default": unit}, **rules)
    return msgspec.structs.replace(policy, portfolio=changed)
