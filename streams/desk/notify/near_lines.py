"""Which pools of an account are near to a line by the distance rules, which are near no more. Pure.

    near       a move of the whole market by `within_percent`, up or down, or none at all, brings the pool to the line
    left       not even `LEAVE` times as much does
    close      `CLOSE` times as much does

A pool whose figures hang on a doubted price, or whose account is stopped, neither comes nor goes.
"""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from engine.analytics.heat_map import MarketPoint, market_points
from engine.analytics.nearness import reaches
from engine.analytics.pool_at import SHARED, pools_of
from engine.events.pools import pool_figures
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy
from streams.answers.account_list import distance_to_line
from streams.desk.notify.desk_notices import Matcher
from streams.desk.notify.distance_notices import NearLine
from streams.desk.notify.notify_rules import NotifyRule, NotifyRules, RuleLine

LEAVE, CLOSE = Decimal("1.25"), Decimal(2)


class NearKey(NamedTuple):
    """A pool near the line of a rule."""

    rule: str
    account: str
    pool: str


class NearChange(NamedTuple):
    """A pool came near, or left."""

    key: NearKey
    near: bool
    found: NearLine


class Look(NamedTuple):
    """What one look at an account gave."""

    close: bool
    """Look again soon."""
    changes: list[NearChange]


class _Moved(NamedTuple):
    """The market after the moves of one rule."""

    near: tuple[MarketPoint, ...]
    leave: tuple[MarketPoint, ...]
    close: tuple[MarketPoint, ...]


class MovedMarket(NamedTuple):
    """What accounts are looked at with: prices, and these moved as each rule says."""

    prices: Prices
    moved: Mapping[str, _Moved]
    now_ns: int


class NearLooker:
    """The distance rules of a file, asked of one account after the other."""

    def __init__(self, policy: Policy, rules: NotifyRules) -> None:
        """Rules of other sorts are passed over."""
        self.policy, self._matcher = policy, Matcher(rules)
        self.rules = {name: it for name, it in rules.rules.items() if it.within_percent is not None}

    def rule_by(self, policy: Policy) -> None:
        """Look by another policy from now on; markets that were made before are not to be used any more."""
        self.policy = policy

    def market(self, prices: Prices, now_ns: int) -> MovedMarket:
        """The market as it is and as the rules move it."""
        moved = {name: self._moved(prices, _within(rule)) for name, rule in self.rules.items()}
        return MovedMarket(prices, moved, now_ns)

    def look(self, state: AccountState, market: MovedMarket, known: Collection[NearKey]) -> Look:
        """Look at all pools of an account; `known` are those of its that are near already."""
        state = listed_part(state, self.policy)
        keys = list(self._keys(state))
        close = False
        changes: list[NearChange] = []
        for key in keys:
            near, is_close = self._place(key, state, market, known=key in known)
            close = close or is_close
            if near != (key in known):
                changes += self._change(key, state, market, near=near)
        for key in set(known) - set(keys):  # a position that was closed
            changes += self._change(key, state, market, near=False)
        return Look(close, changes)

    def _keys(self, state: AccountState) -> Iterator[NearKey]:
        for name in self.rules:
            if self._matcher.concerns(name, state.account):
                yield from (NearKey(name, state.account, pool) for pool in pools_of(state))

    def _place(
        self, key: NearKey, state: AccountState, market: MovedMarket, *, known: bool
    ) -> tuple[bool, bool]:
        """Whether the pool is near (or has not left), and whether it is close."""
        moved = market.moved[key.rule]

        def reached(points: tuple[MarketPoint, ...]) -> bool:
            return reaches(state, key.pool, points, self._line(key), self.policy)

        if known:
            return reached(moved.leave), True
        return (reached(moved.near), True) if reached(moved.close) else (False, False)

    def _change(
        self, key: NearKey, state: AccountState, market: MovedMarket, *, near: bool
    ) -> Iterator[NearChange]:
        figures = pool_figures(state, key.pool, market.prices, self.policy)
        least = self.rules[key.rule].equity_min
        poor = near and least is not None and figures.equity < least
        if not (figures.degraded or figures.doubted or poor):
            distance = distance_to_line(state, key.pool or None, self._line(key), market.prices, self.policy)
            yield NearChange(key, near, self._found(key, figures, distance, market.now_ns))

    def _found(self, key: NearKey, figures: Figures, distance: Decimal | None, now_ns: int) -> NearLine:
        rule = self.rules[key.rule]
        return NearLine(
            account=key.account,
            position=None if key.pool == SHARED else key.pool,
            line=_line(rule),
            within_percent=_within(rule),
            distance=distance,
            equity=canonical(figures.equity),
            collateral_value=canonical(figures.collateral_value),
            maintenance_margin=canonical(figures.maintenance_margin),
            currency=self.policy.account_currency,
            policy_digest=self.policy.digest,
            evaluated_at_ns=now_ns,
        )

    def _line(self, key: NearKey) -> Decimal:
        line: Decimal = getattr(self.policy.ladder, _line(self.rules[key.rule]).value)
        return line

    def _moved(self, prices: Prices, within_percent: Decimal) -> _Moved:
        def points(times: Decimal) -> tuple[MarketPoint, ...]:
            with exact():
                move = (within_percent * times).scaleb(-2)
            return tuple(market_points([-move, move], prices, self.policy))

        return _Moved(near=points(Decimal(1)), leave=points(LEAVE), close=points(CLOSE))


def _within(rule: NotifyRule) -> Decimal:
    assert rule.within_percent is not None  # noqa: S101 - only such rules are kept
    return rule.within_percent


def _line(rule: NotifyRule) -> RuleLine:
    return rule.line or RuleLine.MARGIN_CALL
