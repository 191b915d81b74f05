"""How much of an asset may be withdrawn: the largest amount after which the account still stands well.

after it       C >= IM, C >= line * requirement, and not bankrupt;  the line is the warning's, or the call's for a pool that is below the
               warning line already, so that the withdrawal crosses none
amount         a multiple of the asset's step, at most what is in the wallet: a profit that is not realised is not there yet
doubt          as for orders (`pre_trade`): collateral at the low end of a doubted index, a debt at its high end; nothing is
               withdrawn on a price that is missing, or where the controls of the pool forbid it (`ladder.controls`)

An account that does not stand well as it is may withdraw nothing. Open orders count in IM and where else the policy says so, and
those at a price worse than the mark as filled too (`order_outcomes`).

The answer lies on an edge: one step more breaks a rule. Where the room left may shrink and grow again with the amount (hedges under
portfolio margin) there may be several edges; then it is one between what holds and what does not, unless the whole balance holds.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.analytics.order_outcomes import Outcome, filled_whole, losing_sides, outcome_of
from engine.inputs import Withdrawal
from engine.ladder import LadderState
from engine.ladder.controls import account_controls
from engine.ladder.states import Controls
from engine.ledger.accounts import AccountState
from engine.ledger.booking import book
from engine.margin.pool_names import CROSS
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, divide, exact, whole_steps
from engine.policy import Policy
from engine.rejections import Rejection


class Bound(StrEnum):
    """What one step more would break, or why there is nothing to withdraw."""

    BALANCE = "balance"
    """There is no more in the wallet."""
    INITIAL_MARGIN = "initial_margin"
    LINE = "line"
    """Of the ladder: a warning, or a margin call."""
    BANKRUPTCY = "bankruptcy"
    ACCOUNT_STOPPED = "account_stopped"
    CONTROLS = "controls"
    """The band of the pool, or doubt in its figures, allows no withdrawal."""
    DEGRADED = "degraded"
    """A price that the answer needs is stale or missing."""


class Withdrawable(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one asset; amounts in coins, room in account currency."""

    asset: str
    balance: Decimal
    amount: Decimal
    bound: Bound
    room_to_initial: Decimal
    """C - IM after it; below 0 the account is short already."""
    line: Decimal
    """As a portfolio margin ratio: what it must not cross."""
    room_to_line: Decimal
    """C - line * requirement after it."""
    beyond: Decimal | None
    """What would be missing to the rule that `bound` names after one step more; None where no rule bounds."""


class _Rooms(msgspec.Struct, frozen=True):
    initial: Decimal
    line: Decimal
    bankrupt: bool

    @property
    def least(self) -> Decimal:
        return min(self.initial, self.line)

    @property
    def holds(self) -> bool:
        return self.least >= 0 and not self.bankrupt

    @property
    def bound(self) -> Bound:
        """The rule that is broken furthest."""
        if self.least >= 0:
            return Bound.BANKRUPTCY
        return Bound.INITIAL_MARGIN if self.initial <= self.line else Bound.LINE


def withdrawable(
    state: AccountState,
    pools: Mapping[str, LadderState],
    prices: Prices,
    policy: Policy,
    assets: Iterable[str],
) -> tuple[Withdrawable, ...]:
    """The largest amount of each of `assets`, each by itself, the others left alone; `pools` as they were last judged."""
    with exact():
        sides = [(), *losing_sides(state, prices, policy)]
        filled = [filled_whole(state, side, policy) for side in sides]
    outcomes = _Outcomes(state, filled, prices, policy)
    now = outcomes.once(lambda it: it)
    refused = None
    if state.stopped:
        refused = Bound.ACCOUNT_STOPPED
    elif account_controls(pools, (CROSS,)) is not Controls.TRADE_AND_WITHDRAW:
        refused = Bound.CONTROLS
    elif any(it.degraded for it in now):
        refused = Bound.DEGRADED
    return tuple(_of_asset(state, asset, now, refused, outcomes) for asset in assets)


class _Outcomes(msgspec.Struct, frozen=True):
    state: AccountState
    filled: list[AccountState]
    """It as it is, and once its losing orders have filled."""
    prices: Prices
    policy: Policy

    def once(self, changed: Callable[[AccountState], AccountState]) -> list[Outcome]:
        """Each outcome once something has happened to the wallet."""
        with exact():
            return [outcome_of(self.state, changed(it), self.prices, self.policy) for it in self.filled]


def _of_asset(
    state: AccountState, asset: str, now: list[Outcome], refused: Bound | None, outcomes: _Outcomes
) -> Withdrawable:
    policy = outcomes.policy
    balance, step = state.balances.get(asset, ZERO), policy.assets[asset].step
    with exact():
        line = (
            policy.ladder.warning
            if now[0].figures.standing.gap(policy.ladder.warning) >= 0
            else policy.ladder.margin_call
        )
        rooms = {0: _rooms(now, line)}

        def room(steps: int) -> _Rooms:
            if steps not in rooms:
                after = outcomes.once(lambda it: _without(it, asset, steps * step, policy))
                rooms[steps] = _rooms(after, line)
            return rooms[steps]

        most = int(whole_steps(max(ZERO, balance), step, "down"))
        well = room(0).holds
        steps = _largest(room, most) if well and refused is None else 0
        further = None
        if refused is None and steps < most:
            # short already, or short with one step more
            further = room(steps + 1 if well else 0)
        return Withdrawable(
            asset=asset,
            balance=balance,
            amount=canonical(steps * step),
            bound=refused or (Bound.BALANCE if further is None else further.bound),
            room_to_initial=canonical(room(steps).initial),
            line=line,
            room_to_line=canonical(room(steps).line),
            beyond=None if further is None else canonical(max(ZERO, -further.least)),
        )


def _rooms(outcomes: list[Outcome], line: Decimal) -> _Rooms:
    standings = [it.figures.standing for it in outcomes]
    # C - IM;  C - line * requirement
    return _Rooms(
        min(it.free for it in outcomes),
        min(it.gap(line) for it in standings),
        any(it.bankrupt for it in standings),
    )


def _without(state: AccountState, asset: str, amount: Decimal, policy: Policy) -> AccountState:
    entry = Withdrawal(account=state.account, entry_id="what-if", time_ns=0, asset=asset, amount=amount)
    after = book(state, entry, policy)
    if isinstance(after, Rejection):
        raise TypeError(f"a withdrawal from the wallet is never refused: {after.detail}")
    return after


def _largest(room: Callable[[int], _Rooms], most: int) -> int:
    """The number of steps that holds while one more does not; 0 holds. Secants, and a bisection whenever one did not halve."""
    if room(most).holds:
        return most
    low, high = 0, most
    while high - low > 1:
        width = high - low
        for choose in (_secant, _middle):
            at = choose(room, low, high)
            low, high = (at, high) if room(at).holds else (low, at)
            if high - low <= max(1, width // 2):
                break
    return low


def _secant(room: Callable[[int], _Rooms], low: int, high: int) -> int:
    above, below = room(low).least, room(high).least
    if below >= above:
        return _middle(room, low, high)
    # low + (high - low) * room at low / (room at low - room at high), strictly between the two
    at = low + int(divide((high - low) * above, above - below))
    return min(high - 1, max(low + 1, at))


def _middle(_room: Callable[[int], _Rooms], low: int, high: int) -> int:
    return (low + high) // 2
