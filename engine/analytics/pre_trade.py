"""May this order open? What the account would require with it, and the reason for a no.

An order may open when, with it resting on the worse side and with it filled whole at its price, the collateral value still covers
the initial margin, or when it raises no requirement either way; orders that rest already at a price worse than the mark are judged
as filled too (`order_outcomes`); an order that only closes may open while the account may reduce.
An isolated order takes its initial margin, and the loss that its price implies, out of the available margin.
What the account may do (`ladder.controls`) comes first: of a pool that may only reduce nothing is opened, whatever its figures.
The answer is degraded where the account would be once the order has filled. Nothing is opened on a doubted price: collateral counts at the
low end of what its index may be, and a debt at the high end, though nobody is called for that.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.analytics.order_outcomes import Outcome, filled_whole, losing_sides, outcome_of
from engine.ladder import LadderState
from engine.ladder.controls import account_controls
from engine.ladder.states import Controls
from engine.ledger.accounts import FLAT, AccountState, OpenOrder, Position
from engine.ledger.resting_orders import RestingOrders, order_totals
from engine.margin.pool_names import CROSS
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import position_key

_NEW = "\x00pre-trade"
"""Id of the order that is asked about; no exchange sends it."""
_replace = msgspec.structs.replace


class OrderReason(StrEnum):
    """Why an order may open, or not."""

    COVERED = "covered"
    REDUCES_RISK = "reduces_risk"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    NO_ISOLATED_OPTIONS = "no_isolated_options"
    """Options are margined in the shared pool only."""
    LEG_EXCEEDED = "leg_exceeded"
    """Hedge mode: it would close more of a leg than the leg holds, and its fill would be refused."""
    ACCOUNT_STOPPED = "account_stopped"
    """An input of the account was refused: its figures cannot be trusted."""
    DEGRADED = "degraded"
    """A price that the answer needs is stale or missing."""
    REDUCE_ONLY = "reduce_only"
    """The account may only reduce: a pool stands in that band, also where its figures have got better since."""
    LOCKED = "locked"
    """A pool is in liquidation."""


class OrderVerdict(msgspec.Struct, frozen=True):
    """The answer; amounts in account currency."""

    reason: OrderReason
    initial_margin: Decimal
    """What the order requires on top of what the account requires without it; < 0 where it frees margin."""
    available_margin: Decimal
    """Without the order."""
    available_after: Decimal
    """With it: below 0 is what is missing."""

    @property
    def allowed(self) -> bool:
        """Whether the order may open."""
        return self.reason in {OrderReason.COVERED, OrderReason.REDUCES_RISK}


def may_open(
    state: AccountState,
    pools: Mapping[str, LadderState],
    order: OpenOrder,
    prices: Prices,
    policy: Policy,
) -> OrderVerdict:
    """Whether `order` (not yet among the account's open orders) may open at `prices`, taken cautiously.

    `pools` is where the account's pools stand (`AccountRisk.pools`).
    """
    instrument = policy.instruments.get(order.symbol)
    if instrument is None:
        return OrderVerdict(OrderReason.UNKNOWN_INSTRUMENT, ZERO, ZERO, ZERO)
    if instrument.kind is InstrumentKind.OPTION and order.isolated:
        return OrderVerdict(OrderReason.NO_ISOLATED_OPTIONS, ZERO, ZERO, ZERO)
    if instrument.kind is InstrumentKind.SPOT:
        # a spot trade settles in the wallet, whatever mode and leg it names, and there is no position that it could only reduce
        order = _replace(order, isolated=False, reduce_only=False, leg=None)
    if _exceeds_leg(state, order):
        return OrderVerdict(OrderReason.LEG_EXCEEDED, ZERO, ZERO, ZERO)
    free, required, degraded = _required(state, order, prices, policy)
    with exact():
        after = free - required
    reason = _refusal(state, pools, order, required, policy)
    if reason is None:
        if order.reduce_only or (required <= 0 and (not degraded or _closes(state, order))):
            reason = OrderReason.REDUCES_RISK
        elif degraded:
            reason = OrderReason.DEGRADED
        else:
            reason = OrderReason.COVERED if after >= 0 else OrderReason.INSUFFICIENT_MARGIN
    return OrderVerdict(reason, required, max(ZERO, free), after)


def _refusal(
    state: AccountState,
    pools: Mapping[str, LadderState],
    order: OpenOrder,
    required: Decimal,
    policy: Policy,
) -> OrderReason | None:
    """What forbids the order before its figures are asked; None where nothing does."""
    if state.stopped:
        return OrderReason.ACCOUNT_STOPPED
    concerned = (CROSS, position_key(order.symbol, order.leg)) if order.isolated else (CROSS,)
    controls = account_controls(pools, concerned)
    if controls is Controls.LOCKED:
        return OrderReason.LOCKED
    if controls is not Controls.REDUCE_ONLY or order.reduce_only or _closes(state, order):
        return None
    # a spot trade that raises no requirement pays a debt, or makes collateral of what counts for less
    pays = policy.instruments[order.symbol].kind is InstrumentKind.SPOT and required <= 0
    return None if pays else OrderReason.REDUCE_ONLY


def _held(state: AccountState, order: OpenOrder) -> Position:
    key = position_key(order.symbol, order.leg)
    if order.isolated:
        return state.isolated[key].position if key in state.isolated else FLAT
    return state.positions.get(key, FLAT)


def _exceeds_leg(state: AccountState, order: OpenOrder) -> bool:
    """Whether the order, not bound to what is held, sells more of a long leg than it holds, or buys more of a short one."""
    opens = order.leg is None or (order.quantity > 0) is (order.leg == "long")
    return not (opens or order.reduce_only) and abs(order.quantity) > abs(_held(state, order).quantity)


def _closes(state: AccountState, order: OpenOrder) -> bool:
    """Whether the order closes a part or all of a position and opens nothing, also once the orders that rest beside it have filled."""
    held = _held(state, order)
    if held.quantity * order.quantity >= 0:
        return False
    buys = order.quantity > 0
    with exact():
        resting = sum(
            (
                total.quantity
                for kind, total in order_totals(state.orders).items()
                if (kind.symbol, kind.leg, kind.buys) == (order.symbol, order.leg, buys)
                and kind.isolated is order.isolated
            ),
            ZERO,
        )
        return abs(order.quantity + resting) <= abs(held.quantity)


def _required(
    state: AccountState, order: OpenOrder, prices: Prices, policy: Policy
) -> tuple[Decimal, Decimal, bool]:
    """C - IM without the order; what the order takes out of it, resting or filled, whichever is more; and whether a price is missing.

    Both as they are and once the losing orders that rest already have filled, whichever leaves less.
    """
    with exact():
        asked = _replace(state, orders=RestingOrders.of(state.orders).changed(_NEW, order))
        resting: list[Collection[str]] = [(), *losing_sides(state, prices, policy)]
        # of an order that only closes, the fill is no larger than what is held
        fills = [] if order.reduce_only else [{*side, _NEW} for side in resting]

        def outcomes(of: AccountState, sides: Iterable[Collection[str]]) -> list[Outcome]:
            return [outcome_of(state, filled_whole(of, side, policy), prices, policy) for side in sides]

        free = min(it.free for it in outcomes(state, resting))
        after = outcomes(asked, [*resting, *fills])
        # an order's own market counts in no figure but IM, so only its fill shows whether prices are missing
        degraded = any(it.degraded for it in after)
        return free, free - min(it.free for it in after), degraded
