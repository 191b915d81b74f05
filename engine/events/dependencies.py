"""Which prices the figures of a pool depend on, and the marks that they were computed from."""

from engine.events.effects import MarkUsed
from engine.ledger.accounts import AccountState
from engine.ledger.resting_orders import of_each_kind
from engine.margin.dust import without_dust
from engine.margin.margin_model import uses_portfolio
from engine.margin.pool_names import CROSS
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.position_keys import symbol_of


def price_symbols_of(state: AccountState, pool: str, policy: Policy) -> set[str]:
    """Price symbols that the figures of this pool depend on."""
    if pool != CROSS:
        return set(policy.priced_by[symbol_of(pool)])
    net = uses_portfolio(state, policy)
    priced_by = policy.net_priced_by if net else policy.priced_by
    symbols = {policy.assets[asset].index for asset in without_dust(state, policy).balances}
    if net and policy.portfolio and policy.portfolio.peg and policy.portfolio.peg.asset:
        symbols.add(policy.assets[policy.portfolio.peg.asset].index)
    symbols.update(*(priced_by[symbol_of(key)] for key in state.positions))
    symbols.update(*(priced_by[order.symbol] for order in of_each_kind(state.orders) if not order.isolated))
    symbols.discard("")
    return symbols


def marks_used(state: AccountState, pool: str, prices: Prices, policy: Policy) -> dict[str, MarkUsed]:
    """The marks that the figures of this pool were computed from."""
    stale, certain = prices.stale, not (prices.aged or prices.sourced)
    return {
        symbol: MarkUsed(
            mark.price,
            mark.sequence,
            mark.time_ns,
            symbol in stale,
            None if certain else prices.doubt(symbol),
            mark.volatility,
            mark.funding_rate,
            mark.average_price,
            mark.confidence,
            mark.open_interest,
            mark.deposits,
            mark.borrows,
            mark.potential_deposits,
            mark.realisable_share,
        )
        for symbol in sorted(price_symbols_of(state, pool, policy))
        if (mark := prices.marks.get(symbol)) is not None
    }
