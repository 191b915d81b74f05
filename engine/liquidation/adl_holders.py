"""An account's positions as candidates for auto-deleveraging; `engine.liquidation.adl` ranks those of a whole book.

uPnL      = profit of the position at its mark * index(settle)
notional  = |value at the mark| * index(settle)                  `Instrument.notional`
equity    = equity of the shared pool - uPnL;   isolated: margin * index(settle)

Whether the account is hedged (`engine.liquidation.hedged_accounts`) is asked only where the policy cuts such accounts last.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from engine.ledger.accounts import AccountState, Position
from engine.liquidation.adl import AdlCandidate
from engine.liquidation.hedged_accounts import hedged
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import index_price, mark_price
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

Side = Literal["long", "short"]


def adl_candidates(
    state: AccountState, symbol: str, side: Side, prices: Prices, policy: Policy
) -> list[AdlCandidate]:
    """The account's positions of one side in `symbol`: those of the shared pool, then isolated ones, by key."""
    shared = _of_side(state.positions, symbol, side)
    isolated = _of_side({key: held.position for key, held in state.isolated.items()}, symbol, side)
    if not (shared or isolated):
        return []
    instrument = policy.instruments[symbol]
    with exact():
        index, _ = index_price(policy, instrument.settle, prices)
        neutral = policy.deleveraging.neutral_last and hedged(state, instrument.base, prices, policy)

        def candidate(key: str, held: Position, equity: Decimal | None) -> AdlCandidate:
            mark, _ = mark_price(symbol, held, prices, policy)
            value = instrument.value(held.quantity, mark)
            profit = instrument.profit(held.entry_value, value) * index
            backing = state.isolated[key].margin * index if equity is None else equity - profit
            return AdlCandidate(
                state.account,
                held.quantity,
                canonical(profit),
                canonical(instrument.notional(held.quantity, mark) * index),
                canonical(backing),
                held.entry_value,
                key,
                isolated=equity is None,
                neutral=neutral,
            )

        pool = shared_figures(state, prices, policy).equity if shared else None
        return [
            *(candidate(key, held, pool) for key, held in shared),
            *(candidate(key, held, None) for key, held in isolated),
        ]


def _of_side(positions: Mapping[str, Position], symbol: str, side: Side) -> list[tuple[str, Position]]:
    sign = 1 if side == "long" else -1
    return sorted(
        (key, held)
        for key, held in positions.items()
        if symbol_of(key) == symbol and held.quantity * sign > 0
    )
