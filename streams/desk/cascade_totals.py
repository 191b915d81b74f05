"""What liquidations have closed and what is still asked for, by symbol, from the events as they come. Notionals are in account currency.

    executed    what fills of a liquidation closed, as `liquidation.progressed` tells it of each, at the mark that the event names, or the
                newest one where the position is gone
    requested   what the newest plan of each pool closes and hands over, at the plan's marks, until its liquidation ends

Both at the index of the settle asset that the event names. They count what this process heard: since the oldest event that
was still in memory when it began.
"""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import msgspec

from engine.events.effects import EventType
from engine.ledger.accounts import Execution
from engine.liquidation.plan import LiquidationPlan, ReduceStep, TakeOverStep
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of
from engine.strict_decoding import UNREADABLE


class _MarkSaid(msgspec.Struct):
    price: Decimal


class _Said(msgspec.Struct):
    """What of a liquidation event counts here."""

    type: EventType
    id: str
    account: str
    position: str | None
    sequence: int
    time_ns: int
    marks: dict[str, _MarkSaid] = {}
    plan: LiquidationPlan | None = None
    executed: Execution | None = None


class CascadeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Liquidations since `since_ns`; amounts in account currency, the largest symbols first."""

    since_ns: int | None
    """Time of the first event counted; null where there was none."""
    executed: dict[str, Decimal]
    requested: dict[str, Decimal]
    requests: int
    """Pools whose liquidation was requested and has not ended."""
    completed: int


_decoder = msgspec.json.Decoder(_Said)
_Pool = tuple[str, str | None]


class CascadeTotals:
    """Counts events; what comes twice counts once."""

    def __init__(self, policy: Policy, prices: Callable[[], Prices]) -> None:
        """`prices`: those in force."""
        self._policy, self._prices = policy, prices
        self._executed: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._executions: dict[_Pool, Execution] = {}
        """How far the liquidations that go on have come."""
        self._requested: dict[_Pool, dict[str, Decimal]] = {}
        self._sequences: dict[str, int] = {}
        self._since_ns: int | None = None
        self._completed = 0

    def rule_by(self, policy: Policy) -> None:
        """Value by another policy from now on."""
        self._policy = policy

    def take(self, event: bytes) -> None:
        """Count an event of the topic of liquidations; one that this version cannot read counts nothing."""
        try:
            said = _decoder.decode(event)
        except UNREADABLE:
            return
        if said.sequence <= self._sequences.get(said.account, 0):
            return
        self._sequences[said.account] = said.sequence
        self._since_ns = said.time_ns if self._since_ns is None else self._since_ns
        pool = (said.account, said.position)
        if said.executed is not None:
            self._execute(pool, said.executed, said.marks)
        if said.type is EventType.LIQUIDATION_REQUESTED and said.plan is not None:
            self._requested[pool] = self._planned(said.plan, said.marks)
        elif said.type is EventType.LIQUIDATION_COMPLETED:
            self._completed += self._requested.pop(pool, None) is not None
            self._executions.pop(pool, None)

    def report(self) -> CascadeReport:
        """As it stands."""
        requested: defaultdict[str, Decimal] = defaultdict(Decimal)
        with exact():
            for planned in self._requested.values():
                for symbol, notional in planned.items():
                    requested[symbol] += notional
        return CascadeReport(
            since_ns=self._since_ns,
            executed=_largest_first(self._executed),
            requested=_largest_first(requested),
            requests=len(self._requested),
            completed=self._completed,
        )

    def _execute(self, pool: _Pool, executed: Execution, marks: dict[str, _MarkSaid]) -> None:
        last = self._executions.get(pool)
        same = last is not None and last.liquidation_id == executed.liquidation_id
        before = last.closed if last is not None and same else {}
        self._executions[pool] = executed
        for symbol, closed in executed.closed.items():
            mark = marks.get(symbol) or self._prices().marks.get(symbol)
            with exact():
                more = closed - before.get(symbol, ZERO)
            if mark is not None and more > 0:
                notional = self._notional(symbol, more, mark.price, marks)
                with exact():
                    self._executed[symbol] += notional

    def _planned(self, plan: LiquidationPlan, marks: dict[str, _MarkSaid]) -> dict[str, Decimal]:
        planned: defaultdict[str, Decimal] = defaultdict(Decimal)
        for step in plan.steps:
            if isinstance(step, ReduceStep | TakeOverStep):
                symbol = symbol_of(step.symbol)
                notional = self._notional(symbol, step.quantity, step.mark, marks)
                with exact():
                    planned[symbol] += notional
        return planned

    def _notional(
        self, symbol: str, quantity: Decimal, price: Decimal, marks: dict[str, _MarkSaid]
    ) -> Decimal:
        instrument = self._policy.instruments.get(symbol)
        if instrument is None:  # it has left the policy: nobody prices it any more
            return ZERO
        named = marks.get(self._policy.assets[instrument.settle].index or "")
        # of the account currency itself it is 1, and an event names none
        index = named.price if named else index_price(self._policy, instrument.settle, self._prices())[0]
        with exact():
            # |value(price)| * index(settle)
            return instrument.notional(quantity, price) * index


def _largest_first(amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    ordered = sorted(amounts, key=lambda symbol: (-amounts[symbol], symbol))
    return {symbol: canonical(amounts[symbol]) for symbol in ordered if amounts[symbol]}
