"""A job that settles funding wrongly for everybody, and its repair."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.inputs import FundingPayment, MarginMode
from engine.ledger.accounts import AccountState
from engine.ledger.booking import book
from engine.numbers import exact
from engine.position_keys import position_key
from engine.rejections import Rejection
from streams.exchange.clearing.clearing import position_of
from streams.exchange.clearing.input_desk import Desk
from streams.exchange.market.named_scenarios import WrongFunding


class WrongJob:
    """Runs once, and is undone once. A restart of the exchange between the two forgets what is to be undone."""

    def __init__(self, desk: Desk, rule: WrongFunding | None, seconds: float) -> None:
        """`rule`: None for no such job; `seconds`: length of the market."""
        self._desk, self._rule, self._seconds = desk, rule, seconds
        self._ran = self._repaired = rule is None
        self._payments: defaultdict[str, list[FundingPayment]] = defaultdict(list)
        """Not paid back, by account."""

    def begin(self, second: float) -> None:
        """The market is at `second` already."""
        if self._rule is not None:
            self._ran = self._rule.at <= second / self._seconds
            self._repaired = self._rule.repaired_at <= second / self._seconds

    def step(self, second: float, prices: Mapping[str, Decimal]) -> None:
        """Run, or repair, what is due by `second`. `prices` of the contracts that funding is settled for."""
        if self._rule is None:
            return
        if not self._ran and self._rule.at <= second / self._seconds:
            self._ran = True
            rate = Decimal(self._rule.rate)
            for payment in self._desk.settle_funding({name: (mark, rate) for name, mark in prices.items()}):
                self._payments[payment.account].append(payment)
        if not self._repaired and self._rule.repaired_at <= second / self._seconds:
            self._repaired = True
            for payment in (it for account in sorted(self._payments) for it in self._payments[account]):
                state = self._desk.books.state(payment.account)
                self._desk.pay_back(payment, _mode(payment, state))
            self._payments.clear()

    def undone(self, account: str) -> AccountState:
        """The account without what the job has booked and nobody has repaired."""
        state = self._desk.books.state(account)
        with exact():
            for payment in self._payments.get(account, ()):
                mode = _mode(payment, state)
                back = msgspec.structs.replace(payment, amount=-payment.amount, margin_mode=mode)
                after = book(state, back, self._desk.books.policy)
                if isinstance(after, Rejection):
                    raise TypeError(f"{back} was not booked: {after}")
                state = after
        return state


def _mode(payment: FundingPayment, state: AccountState) -> MarginMode:
    """Where the payment goes back to: an isolated position that is closed has left everything to the wallet."""
    key = position_key(payment.symbol, payment.leg)
    isolated = payment.margin_mode is MarginMode.ISOLATED
    if isolated and position_of(state, key, MarginMode.ISOLATED).quantity:
        return MarginMode.ISOLATED
    return MarginMode.CROSS
