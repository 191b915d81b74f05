"""Executing what the engine asks for: each liquidation once, the newest of a pool, on the account it was computed from.

Rules
-----
* An id is taken at most once; ids executed before a restart are found in the topics (`desk.tag_in`).
* A newer request of a pool replaces what is left of the older one; a completed liquidation ends it.
* A request computed without the newest message of the account is refused (`desk.Fence`): its plan may close what is closed
  already. The engine makes a newer one by itself. So is one whose account was closed out by others before it began.
* Worst accounts first. What is reduced goes to the market bit by bit, each bit moving the price, never beyond the limit; a
  round of a plan waits for the one before it. A takeover is a transfer, at once: positions and balances, as the plan names them.
* Nothing is done but what a plan says, by the messages of the contract (`deploy/asyncapi/README.md`).
* A pool waits for the exchange from when it enters liquidation until it has left it.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from engine.events.effects import EventType, RiskEvent
from engine.inputs import MarginMode
from engine.ladder.table import LIQUIDATING
from engine.liquidation.plan import (
    CancelStep,
    LiquidationPlan,
    NetStep,
    ReduceStep,
    RepayStep,
    TakeOverBalanceStep,
    TakeOverStep,
)
from engine.liquidation.priority import PoolRisk, worst_first
from engine.liquidation.trades import hedged_symbols, proceeds
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact, to_step
from engine.position_keys import position_key
from streams.exchange.clearing.clearing import REDUCTION, TAKEOVER, position_of
from streams.exchange.clearing.input_desk import Desk, tag_of
from streams.exchange.clearing.insurance_fund import Fund
from streams.exchange.clearing.tally import Refusal, Tally
from streams.exchange.market.answering_prices import Market
from streams.exchange.traders.contracts import MONEY

WAY_PER_SECOND = 0.1
"""How far (log price) one liquidation lets its own trades move a price in a second."""
AT_LIMIT_SECONDS_MAX = 25.0
"""How long an order waits at its limit for the price to come back; then the fund takes the rest of it at that price.

Less than the `stuck_seconds` after which a new plan comes, or it would wait anew each time.
"""


class _Execution:
    """A liquidation that is under way."""

    def __init__(self, event: RiskEvent, liquidation_id: str, plan: LiquidationPlan) -> None:
        self.account, self.pool = event.account, event.position or ""
        self.liquidation_id, self.tag = liquidation_id, tag_of(liquidation_id)
        self.risk = PoolRisk(event.collateral_value, event.maintenance_margin)
        self.steps = deque(plan.steps)
        self.inputs = event.inputs
        self.begun = False
        self.left = ZERO
        """Of the first step, once it has begun."""
        self.at_limit_seconds = 0.0
        """How long its order has gone no further for its limit price."""
        self._messages = 0

    def id(self, kind: str) -> str:
        """The next id of a message that executes it."""
        self._messages += 1
        return f"{kind}{self.tag}-{self._messages}"


class Liquidations:
    """Every liquidation of the exchange."""

    def __init__(
        self, market: Market, desk: Desk, fund: Fund, tally: Tally, prices: Callable[[], Prices]
    ) -> None:
        """`prices`: the marks of now, as the engine sees them."""
        self._market, self._desk, self._fund, self._tally, self._prices = market, desk, fund, tally, prices
        self._books, self._policy = desk.books, desk.books.policy
        self._running: dict[tuple[str, str], _Execution] = {}
        self._tags: set[str] = set()
        self._sequences: dict[str, int] = {}
        self._waiting: set[tuple[str, str]] = set()

    def remember(self, tag: str) -> None:
        """A liquidation of this tag was executed before."""
        self._tags.add(tag)

    def running(self, account: str) -> bool:
        """Whether the account is being liquidated: it cannot trade."""
        return any(owner == account for owner, _ in self._running)

    @property
    def open(self) -> int:
        """Liquidations under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Pools in liquidation, as far as the engine has said."""
        return len(self._waiting)

    def offer(self, event: RiskEvent) -> Refusal | None:
        """Take what an event of the liquidations stream asks for; or say why not."""
        pool = (event.account, event.position or "")
        if event.sequence <= self._sequences.get(event.account, 0):
            return self._refused(Refusal.DUPLICATE)
        self._sequences[event.account] = event.sequence
        if event.band in LIQUIDATING:
            self._waiting.add(pool)
        else:
            self._waiting.discard(pool)
        if event.type is EventType.LIQUIDATION_COMPLETED:
            self._tally.cured += 1
            self._running.pop(pool, None)
            return None
        if event.plan is None or event.liquidation_id is None:
            return None
        tag = tag_of(event.liquidation_id)
        if tag in self._tags:
            return self._refused(Refusal.DUPLICATE)
        # the newest wins: what is left of an older one is void, even where this one knows too little
        replaced = self._running.pop(pool, None)
        self._tally.replaced += replaced is not None
        if self._desk.fence.passed_by(event.account, event.inputs.fills, event.inputs.ledger):
            return self._refused(Refusal.BEHIND)
        execution = _Execution(event, event.liquidation_id, event.plan)
        if not execution.steps:
            return self._refused(Refusal.EMPTY)
        self._tags.add(tag)
        self._tally.taken += 1
        self._running[pool] = execution
        return None

    def step(self, elapsed: float) -> None:
        """Execute what `elapsed` seconds allow."""
        for execution in worst_first(self._running.values(), lambda it: it.risk):
            if not self._begins(execution):
                del self._running[execution.account, execution.pool]
                self._refused(Refusal.BEHIND)
                continue
            self._execute(execution, elapsed)
            if not execution.steps:
                self._tally.executed += 1
                del self._running[execution.account, execution.pool]

    def _begins(self, execution: _Execution) -> bool:
        """Whether it has begun, or may: nothing was written for the account since its plan was made."""
        known = execution.inputs
        if not execution.begun and self._desk.fence.passed_by(execution.account, known.fills, known.ledger):
            return False
        execution.begun = True
        return True

    def _refused(self, reason: Refusal) -> Refusal:
        self._tally.refused[reason] += 1
        return reason

    def _execute(self, execution: _Execution, elapsed: float) -> None:
        begun = None
        while execution.steps:
            step = execution.steps[0]
            match step:
                case CancelStep(order_id=order_id):
                    if order_id in self._books.state(execution.account).orders:
                        self._desk.cancel(execution.account, order_id, execution.id(REDUCTION))
                case NetStep():
                    self._net(execution, step)
                case ReduceStep():
                    begun = begun or step.round
                    if step.round > begun or not self._reduce(execution, step, elapsed):
                        return
                case RepayStep():
                    self._repay(execution, step)
                case TakeOverStep():
                    self._take_over(execution, step)
                case TakeOverBalanceStep(asset=asset, amount=amount):
                    ids = execution.id(TAKEOVER), execution.id(TAKEOVER)
                    self._desk.hand_over_balance(
                        execution.account, execution.pool, asset, amount, ids, execution.liquidation_id
                    )
            execution.steps.popleft()
            execution.left, execution.at_limit_seconds = ZERO, 0.0

    def _net(self, execution: _Execution, step: NetStep) -> None:
        hedged = hedged_symbols(self._books.state(execution.account)).get(step.symbol)
        if hedged is None:
            return
        long, short, most = hedged
        for key in (long, short):
            self._desk.close(
                execution.account, "", key, min(step.quantity, most), step.mark, ZERO,
                execution.id(REDUCTION), execution.liquidation_id,
            )  # fmt: skip

    def _reduce(self, execution: _Execution, step: ReduceStep, elapsed: float) -> bool:
        """Whether the step is done."""
        key = position_key(step.symbol, step.leg)
        held = self._held(execution, key)
        side = 1 if step.side == "buy" else -1
        if held * side >= 0:  # gone meanwhile
            return True
        instrument = self._policy.instruments[step.symbol]
        # where the policy names no lot, the plan's are finer than those of this market
        lot = self._market.lot(step.symbol)
        left = min(execution.left or to_step(step.quantity, lot, "up"), abs(held))
        quantity = left
        way = WAY_PER_SECOND * elapsed
        room = self._market.fillable(step.symbol, side, step.limit_price, way)
        at_limit = room < min(float(left), self._market.fillable(step.symbol, side, None, way))
        execution.at_limit_seconds = execution.at_limit_seconds + elapsed if at_limit else 0.0
        if room < left:
            quantity = min(left, lot * int(room / float(lot)))
        if quantity:
            notional = self._market.notional(step.symbol, quantity)
            price = self._market.trade(step.symbol, side * quantity, step.limit_price)
            with exact():
                fee = self._policy.liquidation.fee_rate * instrument.notional(quantity, price)
            self._desk.close(
                execution.account, execution.pool, key, quantity, price, fee.quantize(MONEY),
                execution.id(REDUCTION), execution.liquidation_id,
            )  # fmt: skip
            self._tally.reduced(step.symbol, notional)
        execution.left = left - quantity
        limit, waited = step.limit_price, execution.at_limit_seconds > AT_LIMIT_SECONDS_MAX
        if limit is not None and execution.left and waited and (limit > 0 or instrument.negative_prices):
            self._rest_to_fund(execution, step, limit)
            return True
        return not execution.left

    def _repay(self, execution: _Execution, step: RepayStep) -> None:
        """Convert at the index prices of now."""
        state = self._books.state(execution.account)
        amount = min(step.sell_amount, state.balances.get(step.sell_asset, ZERO))
        if amount <= 0:
            return
        with exact():
            credit = proceeds(step.sell_asset, amount, step.repay_asset, self._prices(), self._policy)
        account, liquidation_id = execution.account, execution.liquidation_id
        self._desk.withdraw(account, execution.id(REDUCTION), step.sell_asset, amount, liquidation_id)
        if credit > 0:
            self._desk.deposit(account, execution.id(REDUCTION), step.repay_asset, credit, liquidation_id)

    def _take_over(self, execution: _Execution, step: TakeOverStep) -> None:
        key = position_key(step.symbol, step.leg)
        held = self._held(execution, key)
        if not held:
            return
        self._make_room(execution, step.symbol, held, step.price)
        self._desk.hand_over(
            execution.account,
            execution.pool,
            key,
            step.price,
            execution.id(TAKEOVER),
            execution.liquidation_id,
        )

    def _rest_to_fund(self, execution: _Execution, step: ReduceStep, price: Decimal) -> None:
        """Let the fund take what is left of a reduction, at its limit: there the pool's equity ends."""
        left = execution.left
        self._make_room(execution, step.symbol, left if step.side == "sell" else -left, price)
        self._desk.close(
            execution.account, execution.pool, position_key(step.symbol, step.leg), left, price, ZERO,
            execution.id(TAKEOVER), execution.liquidation_id,
        )  # fmt: skip

    def _make_room(self, execution: _Execution, symbol: str, held: Decimal, price: Decimal) -> None:
        """Before the fund takes `held` contracts at `price`."""
        # winners trade on the tick; what that differs from this price is the fund's
        at = self._market.to_tick(symbol, price, 1 if held < 0 else -1)
        self._fund.deleverage(execution.account, symbol, held, at, execution.tag, self._tally.second)
        self._tally.reduced(symbol, self._market.notional(symbol, abs(held)))
        self._tally.takeovers += 1

    def _held(self, execution: _Execution, key: str) -> Decimal:
        mode: Literal[MarginMode.CROSS, MarginMode.ISOLATED] = (
            MarginMode.ISOLATED if execution.pool else MarginMode.CROSS
        )
        return position_of(self._books.state(execution.account), key, mode).quantity
