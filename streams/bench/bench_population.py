"""Made-up accounts in the form in which Redis stores them.

What an exchange looks like: one to a dozen positions, the first listed symbols most often; wealth between 100 and a
million; leverage around 3, at most 20; a part of the accounts with coin collateral, 2 % with an isolated position, and,
because leverage and collateral are drawn apart, some near a line or beyond it. A part may choose portfolio margin.
"""

from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context

import msgspec
import numpy as np

from engine.ledger.accounts import AccountState, IsolatedPosition, Position, encode
from engine.numbers import canonical, exact
from streams.bench.bench_market import BITCOIN_PRICE, Market, quoted

WEALTH_DECADES = (2.0, 6.0)
LEVERAGE_MEDIAN, LEVERAGE_SIGMA, LEVERAGE_MAX = 3.0, 0.7, 20.0
LONG_SHARE = 0.6
ISOLATED_SHARE = 0.02
ISOLATED_LEVERAGE = 10


class PopulationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts to make up. The same plan makes the same accounts."""

    accounts: int
    symbols: int = 400
    positions: float = 5.0
    """Mean positions of an account; drawn twice, a symbol is one position."""
    coin_share: float = 0.2
    """Part of the accounts that hold half of their wealth in bitcoin."""
    portfolio_share: float = 0.0
    """Part of the accounts under portfolio margin."""
    seed: int = 7


def stored_accounts(plan: PopulationPlan) -> list[bytes]:
    """The accounts as stored, made by a process of its own: this one's memory stays untouched, so it can be measured."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as maker:
        return maker.submit(_in_one_piece, plan).result().split(b"\n")


def made_up(plan: PopulationPlan) -> list[AccountState]:
    """The accounts of a plan, at the first prices of the market of the same seed."""
    market = Market(plan.symbols, plan.seed)
    rng = np.random.default_rng((plan.seed, 1))
    return [_account(number, plan, market, rng) for number in range(plan.accounts)]


def _in_one_piece(plan: PopulationPlan) -> bytes:
    return b"\n".join(encode(state) for state in made_up(plan))


def _account(number: int, plan: PopulationPlan, market: Market, rng: np.random.Generator) -> AccountState:
    wealth = 10 ** rng.uniform(*WEALTH_DECADES)
    leverage = min(LEVERAGE_MAX, LEVERAGE_MEDIAN * np.exp(LEVERAGE_SIGMA * rng.standard_normal()))
    count = min(1 + rng.poisson(plan.positions - 1), plan.symbols)
    held = np.unique(rng.choice(plan.symbols, count, p=market.popularity)).tolist()
    notionals = rng.dirichlet(np.ones(len(held))) * wealth * leverage
    positions: dict[str, Position] = {}
    for symbol, notional in zip(held, notionals.tolist(), strict=True):
        side = 1 if rng.random() < LONG_SHARE else -1
        position = opened(side * notional, market.price(symbol))
        if position.quantity:
            positions[market.names[symbol]] = position
    balances = {"USDT": Decimal(f"{wealth:.2f}")}
    if rng.random() < plan.coin_share:
        balances = {
            "BTC": Decimal(f"{wealth / 2 / BITCOIN_PRICE:.6f}"),
            "USDT": Decimal(f"{wealth / 2:.2f}"),
        }
    isolated = {}
    if rng.random() < ISOLATED_SHARE and positions:
        symbol, position = positions.popitem()
        with exact():
            margin = abs(position.entry_value) / ISOLATED_LEVERAGE
        isolated[symbol] = IsolatedPosition(position, canonical(margin))
    return AccountState(
        account=f"account-{number:07}",
        balances={asset: canonical(amount) for asset, amount in balances.items() if amount},
        positions=positions,
        isolated=isolated,
        margin_model="portfolio" if rng.random() < plan.portfolio_share else None,
    )


def opened(notional: float, price: float) -> Position:
    """A position of about this signed notional, bought or sold at `price`."""
    quantity = canonical(Decimal(f"{notional / price:.6g}"))
    with exact():
        return Position(quantity, canonical(quantity * quoted(price)))
