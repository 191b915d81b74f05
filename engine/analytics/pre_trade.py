"""May this order open? What the account would require with it, and the reason for a no.

An order may open when, with it resting on the worse side and with it filled whole at its price, the collateral value still covers
the initial margin, or when it raises no requirement either way; an order that only closes may open while the account may reduce.
An isolated order takes its initial margin, and the loss that its price implies, out of the available margin.
What the account may do (`ladder.controls`) comes first: of a pool that may only reduce nothing is opened, whatever its figures.
The answer is degraded where the account would be once the order has filled. Nothing is opened on a doubted price: collateral counts at the
low end of what its index may be, and a debt at the high end, though nobody is called for that.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.ladder import LadderState
from engine.ladder.controls import account_controls
from engine.ladder.states import Controls
from engine.ledger.accounts import FLAT, AccountState, OpenOrder
from engine.ledger.booking import booked_order, filled_isolated
from engine.margin.figures import Figures
from engine.margin.isolated_orders import EMPTY
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
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
        # a spot trade settles in the wallet, whatever mode it names
        order = _replace(order, isolated=False)
    prices = cautious(state, prices, policy)
    now = shared_figures(state, prices, policy)
    required, degraded = (_isolated_required if order.isolated else _required)(
        state, order, now, prices, policy
    )
    with exact():
        free = now.collateral_value - now.initial_margin
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


def cautious(state: AccountState, prices: Prices, policy: Policy) -> Prices:
    """The prices with every doubted index at the end of its plausible range that is worse for the account."""
    marks = dict(prices.marks)
    for asset, rules in policy.assets.items():
        doubt = prices.doubt(rules.index)
        if doubt is None or rules.index not in marks:
            continue
        way = 1 if state.balances.get(asset, ZERO) < 0 else -1
        with exact():
            # index * (1 -+ haircut)
            price = prices.marks[rules.index].price * max(ZERO, 1 + way * doubt.haircut)
        marks[rules.index] = _replace(marks[rules.index], price=price)
    return _replace(prices, marks=marks)


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
    """What the order takes out of collateral value - initial margin, resting or filled, whichever is more.

    And whether a price is missing for the answer.
    """
    resting = shared_figures(_replace(state, orders={**state.orders, _NEW: order}), prices, policy)
    with exact():
        traded = booked_order(state, order, policy)
    # an order's own market counts in no figure but IM, so only its fill shows whether prices are missing
    done = shared_figures(traded, prices, policy)
    with exact():
        free = now.collateral_value - now.initial_margin
        # of an order that only closes, the fill is no larger than what is held
        outcomes = (resting,) if order.reduce_only else (resting, done)
        left = min(it.collateral_value - it.initial_margin for it in outcomes)
        return free - left, resting.degraded or done.degraded


def _isolated_required(
    state: AccountState, order: OpenOrder, now: Figures, prices: Prices, policy: Policy
) -> tuple[Decimal, bool]:
    key = position_key(order.symbol, order.leg)
    resting = shared_figures(_replace(state, orders={**state.orders, _NEW: order}), prices, policy)
    held, instrument = state.isolated.get(key, EMPTY), policy.instruments[order.symbol]
    with exact():
        after_fill = filled_isolated(held, order.quantity, order.price, instrument)
    traded = _replace(state, isolated={**state.isolated, key: after_fill})
    degraded = now.degraded or isolated_figures(traded, key, prices, policy).degraded
    done = shared_figures(traded, prices, policy)
    before, after = (_lacking(it, key, prices, policy) for it in (state, traded))
    with exact():
        # while the order rests the pool reserves IM; once filled it hands over what of it the position's own equity does not cover
        rests, fills = resting.initial_margin, done.initial_margin + after - before
        return (rests if order.reduce_only else max(rests, fills)) - now.initial_margin, degraded


def _lacking(state: AccountState, key: str, prices: Prices, policy: Policy) -> Decimal:
    """Initial margin of an isolated position that its own equity does not cover; < 0 where it has more."""
    if key not in state.isolated:
        return ZERO
    figures = isolated_figures(state, key, prices, policy)
    with exact():
        return figures.initial_margin - figures.equity
