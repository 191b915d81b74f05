"""The pools of an account, the figures of each, and whether its verdict can be trusted.

Doubt
-----
A pool is *degraded* where its verdict hangs on a doubted price: somewhere in the plausible range of the prices that it depends
on the ladder would lead it elsewhere. Asked are the ends of each range by themselves, and then all worst and all best ends
together, which for figures that are monotone in each price are the ends of what they can be. Where nothing bounds a price or
another fact that the margin model needs (it was never seen), the verdict hangs on it. Dust hangs on nothing: it is not counted.

A pool *waits* where its verdict is another at the quotes that wait beside the prices (`engine.marks.waiting_quotes`), all of them together:
the prices in force may be a part of a market move. It is left as it stands.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from decimal import Decimal

import msgspec

from engine.events.dependencies import price_symbols_of
from engine.inputs import Mark
from engine.ladder import LadderState, verdict
from engine.ledger.accounts import AccountState
from engine.margin.dust import without_dust
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_figures, judged_isolated
from engine.margin.margin_model import shared_figures
from engine.margin.pool_names import CROSS
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy

__all__ = ["CROSS", "NOTHING", "WELL", "pool_figures"]

NOTHING = Figures(ZERO, ZERO, ZERO, ZERO, degraded=False)
"""Of a pool without anything in it."""
WELL = LadderState()
"""Of a pool of which nothing is remembered."""

_replace = msgspec.structs.replace


def pool_figures(
    state: AccountState, pool: str, prices: Prices, policy: Policy, before: LadderState = WELL
) -> Figures:
    """Figures of one pool that stands at `before`; an isolated position closed without debt has none.

    Flagged are a stopped account, and a pool whose verdict hangs on a doubted price or on a quote that waits.
    """
    state = without_dust(state, policy)
    figures = _figures(state, pool, prices, policy)
    if state.stopped:
        return _replace(figures, degraded=True)
    if not (figures.degraded or prices.aged or prices.sourced or prices.waiting):
        return figures
    needed = price_symbols_of(state, pool, policy) if figures is not NOTHING else set()
    doubted = [symbol for symbol in sorted(needed & prices.marks.keys()) if prices.doubt(symbol) is not None]
    question = _Question(state, pool, prices, policy, before)
    hangs = _hangs(question, figures, doubted)
    waits = not hangs and _waits(question, figures, needed & prices.waiting.keys() & prices.marks.keys())
    return _replace(figures, degraded=hangs, doubted=figures.degraded or bool(doubted), waits=waits)


def _figures(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Figures:
    if pool == CROSS:
        return shared_figures(state, prices, policy)
    if pool in judged_isolated(state):
        return isolated_figures(state, pool, prices, policy)
    return NOTHING


class _Question(msgspec.Struct, frozen=True):
    state: AccountState
    pool: str
    prices: Prices
    policy: Policy
    before: LadderState

    def figures_at(self, moved: Iterable[Mark]) -> Figures:
        """The figures with these marks in place of the doubted ones, and believed."""
        marks = {mark.symbol: mark for mark in moved}
        stale = self.prices.stale - marks.keys()
        at = _replace(self.prices, marks={**self.prices.marks, **marks}, stale=stale)
        return _figures(self.state, self.pool, at, self.policy)

    def verdict(self, figures: Figures) -> str:
        return verdict(self.before, figures, self.policy.ladder)


def _hangs(question: _Question, figures: Figures, doubted: list[str]) -> bool:
    """Whether the verdict is another somewhere in the plausible range of the doubted prices, or nothing bounds one."""
    marks = question.prices.marks
    if figures.degraded and question.figures_at(marks[symbol] for symbol in doubted).degraded:
        return True
    told, worst, best = question.verdict(figures), [], []
    for symbol in doubted:
        between = _ends(marks[symbol], question.prices, question.policy)
        ends = [(question.figures_at([end]), end) for end in between]
        if any(question.verdict(at) != told for at, _ in ends):
            return True
        with exact():
            ends.sort(key=lambda it: it[0].collateral_value - it[0].requirement)
        if ends[0][0] != ends[-1][0]:
            worst.append(ends[0][1])
            best.append(ends[-1][1])
    together = [worst, best] if len(worst) > 1 else []
    return any(question.verdict(question.figures_at(ends)) != told for ends in together)


def _waits(question: _Question, figures: Figures, waiting: AbstractSet[str]) -> bool:
    """Whether the verdict is another where all quotes that wait are believed."""
    prices = question.prices
    quoted = [_replace(prices.marks[symbol], price=prices.waiting[symbol]) for symbol in waiting]
    return bool(quoted) and question.verdict(question.figures_at(quoted)) != question.verdict(figures)


def _ends(mark: Mark, prices: Prices, policy: Policy) -> list[Mark]:
    """A doubted mark at both ends of its plausible range."""
    doubt = prices.doubt(mark.symbol)
    haircut = ZERO if doubt is None else doubt.haircut
    with exact():
        # mark * (1 -+ haircut), never below 0
        return [_replace(mark, price=policy.moved(mark.symbol, mark.price, way * haircut)) for way in _WAYS]


_WAYS = (Decimal(-1), Decimal(1))
