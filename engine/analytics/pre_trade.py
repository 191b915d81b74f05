"""May this order open? What the account would require with it, and the reason for a no.

An order may open when, with it resting on the worse side, the collateral value still covers the initial margin, or when it
raises no requirement; an order that only closes may always open. An isolated order takes its initial margin out of the available margin.
The answer is degraded where the account would be once the order has filled.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.accounts import FLAT, AccountState, IsolatedPosition, OpenOrder
from engine.booking import booked_order, filled
from engine.margin.figures import Figures
from engine.margin.isolated import isolated_figures
from engine.margin.model import shared_figures
from engine.marks import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy
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
    ACCOUNT_STOPPED = "account_stopped"
    """An input of the account was refused: its figures cannot be trusted."""
    DEGRADED = "degraded"
    """A price that the answer needs is stale or missing."""


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


def may_open(state: AccountState, order: OpenOrder, prices: Prices, policy: Policy) -> OrderVerdict:
    """Whether `order` (not yet among the account's open orders) may open at `prices`."""
    instrument = policy.instruments.get(order.symbol)
    if instrument is None:
        return OrderVerdict(OrderReason.UNKNOWN_INSTRUMENT, ZERO, ZERO, ZERO)
    if instrument.kind == "option" and order.isolated:
        return OrderVerdict(OrderReason.NO_ISOLATED_OPTIONS, ZERO, ZERO, ZERO)
    now = shared_figures(state, prices, policy)
    required, degraded = _required(state, order, now, prices, policy)
    with exact():
        free = now.collateral_value - now.initial_margin
        after = free - required
    available = max(ZERO, free)
    if state.stopped:
        reason = OrderReason.ACCOUNT_STOPPED
    elif order.reduce_only or (required <= 0 and (not degraded or _closes(state, order))):
        reason = OrderReason.REDUCES_RISK
    elif degraded:
        reason = OrderReason.DEGRADED
    else:
        reason = OrderReason.COVERED if after >= 0 else OrderReason.INSUFFICIENT_MARGIN
    return OrderVerdict(reason, required, available, after)


def _closes(state: AccountState, order: OpenOrder) -> bool:
    """Whether the order closes a part or all of a position and opens nothing."""
    key = position_key(order.symbol, order.leg)
    if order.isolated:
        held = state.isolated[key].position if key in state.isolated else FLAT
    else:
        held = state.positions.get(key, FLAT)
    return held.quantity * order.quantity < 0 and abs(order.quantity) <= abs(held.quantity)


def _required(
    state: AccountState, order: OpenOrder, now: Figures, prices: Prices, policy: Policy
) -> tuple[Decimal, bool]:
    """What the order takes out of collateral value - initial margin, and whether a price is missing for the answer."""
    # a spot trade settles in the wallet, whatever mode it names
    if order.isolated and policy.instruments[order.symbol].kind != "spot":
        return _isolated_required(state, order, now, prices, policy)
    order = _replace(order, isolated=False)
    then = shared_figures(_replace(state, orders={**state.orders, _NEW: order}), prices, policy)
    with exact():
        traded = booked_order(state, order, policy)
        free = now.collateral_value - now.initial_margin
        required = free - (then.collateral_value - then.initial_margin)
    # an order's own market counts in no figure but IM, so only its fill shows whether prices are missing
    return required, then.degraded or shared_figures(traded, prices, policy).degraded


def _isolated_required(
    state: AccountState, order: OpenOrder, now: Figures, prices: Prices, policy: Policy
) -> tuple[Decimal, bool]:
    key = position_key(order.symbol, order.leg)
    held = state.isolated.get(key, IsolatedPosition(FLAT, ZERO))
    before = isolated_figures(state, key, prices, policy).initial_margin if key in state.isolated else ZERO
    with exact():
        position, _ = filled(held.position, order.quantity, order.price, policy.instruments[order.symbol])
    after = _replace(state, isolated={**state.isolated, key: IsolatedPosition(position, held.margin)})
    figures = isolated_figures(after, key, prices, policy)
    with exact():
        return figures.initial_margin - before, now.degraded or figures.degraded
