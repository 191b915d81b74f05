"""Who of the exchange's accounts can be deleveraged: holders of one side of a contract, as the engine sees them.

They are looked at anew every RANKING_SECONDS, and one whose account has changed since at once.
"""

from typing import NamedTuple

from engine.inputs import Mark
from engine.ledger.accounts import AccountState
from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_holders import Side, adl_candidates
from engine.marks.mark_book import Prices
from streams.exchange.clearing.clearing import Books
from streams.exchange.clearing.input_desk import Desk
from streams.exchange.market.answering_prices import Market

RANKING_SECONDS = 1.0


class _Seen(NamedTuple):
    state: AccountState
    candidates: list[AdlCandidate]


class Winners:
    """Candidates by symbol and side."""

    def __init__(self, books: Books, market: Market, desk: Desk) -> None:
        """Nobody was looked at yet."""
        self._books, self._market, self._desk = books, market, desk
        self._seen: dict[tuple[str, Side], tuple[float, Prices, dict[str, _Seen]]] = {}

    def of(self, symbol: str, side: Side, second: float) -> list[AdlCandidate]:
        """Positions of this side, by account; those at a loss included."""
        looked_at, prices, seen = self._seen.get((symbol, side), (-RANKING_SECONDS, None, {}))
        if prices is None or second - looked_at >= RANKING_SECONDS:
            looked_at, prices, seen = second, self._prices(), {}
            self._seen[symbol, side] = looked_at, prices, seen
        found = []
        for account in sorted(self._books.holders[symbol]):
            state = self._books.state(account)
            if account not in seen or seen[account].state is not state:
                candidates = adl_candidates(state, symbol, side, prices, self._books.policy)
                seen[account] = _Seen(state, candidates)
            found += seen[account].candidates
        return found

    def _prices(self) -> Prices:
        time_ns = self._desk.time_ns
        marks = {name: Mark(name, price, 0, time_ns) for name, price in self._market.prices.items()}
        return Prices(marks, frozenset(), time_ns)
