"""Writing what customers are told: each input is numbered, booked at once, and kept until it is sent.

Ids say who stands on the other side (`streams.simulate.books`) and, in a liquidation, which one they belong to: `l-TAG-N`, TAG
a digest of the liquidation id. So a liquidation executed twice would send the same ids, which nobody books twice.
"""

import hashlib
from collections import Counter
from decimal import Decimal

from engine.accounts import AccountState
from engine.booking import filled
from engine.inputs import (
    AccountInput,
    Deposit,
    Fill,
    FillsInput,
    FundingPayment,
    MarginMode,
    OrderUpdate,
    Topic,
    Withdrawal,
)
from engine.liquidation.moves import leg_name
from engine.numbers import ZERO, exact
from engine.position_keys import symbol_of
from streams.feed.contracts import MONEY
from streams.simulate.books import FUNDING, REDUCTION, TAKEOVER, Books, position_of

TAG_DIGITS = 16


class Fence:
    """Where the newest message of each account lies, and how many of it are still on their way."""

    def __init__(self) -> None:
        """Nothing was sent."""
        self._newest: dict[tuple[str, Topic], int] = {}
        self._pending: Counter[str] = Counter()

    def sent(self, account: str) -> None:
        """A message of the account is on its way."""
        self._pending[account] += 1

    def acknowledged(self, account: str, topic: Topic, offset: int) -> None:
        """It lies at `offset` (< 0: the broker does not say)."""
        self._pending[account] -= 1
        self.lies(account, topic, offset)

    def lies(self, account: str, topic: Topic, offset: int) -> None:
        """A message found in the topic."""
        self._newest[account, topic] = max(offset, self._newest.get((account, topic), -1))

    def newest(self, account: str, topic: Topic) -> int:
        """Offset of the account's newest acknowledged message in the topic; -1 for none."""
        return self._newest.get((account, topic), -1)

    def passed_by(self, account: str, fills: int, ledger: int) -> bool:
        """Whether something was computed without the account's newest message: it knows the account up to these offsets."""
        return (
            self._pending[account] > 0
            or fills < self.newest(account, Topic.FILLS)
            or ledger < self.newest(account, Topic.LEDGER)
        )


class Desk:
    """Writes inputs into the books and into `written`."""

    def __init__(self, books: Books, fence: Fence) -> None:
        """`time_ns` is set at each step."""
        self.books, self.fence = books, fence
        self.time_ns = 0
        self.written: list[AccountInput] = []

    def write(self, message: AccountInput) -> None:
        """Book a message and keep it for sending."""
        self.books.take(message)
        self.fence.sent(message.account)
        self.written.append(message)

    def taken(self) -> list[AccountInput]:
        """Everything written since the last call."""
        written, self.written = self.written, []
        return written

    def close(
        self,
        account: str,
        pool: str,
        key: str,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        trade_id: str,
        liquidation_id: str | None = None,
    ) -> None:
        """Close `quantity` > 0 contracts of the position `key` of a pool.

        An isolated position pays its fee itself, and what it leaves when it is closed whole goes back to the wallet; what it
        lacks then, the fund has to pay.
        """
        state = self.books.state(account)
        mode = MarginMode.ISOLATED if pool else MarginMode.CROSS
        held = position_of(state, key, mode)
        signed = -quantity if held.quantity > 0 else quantity
        transfer = ZERO
        if pool:
            transfer = -fee if quantity < abs(held.quantity) else -self._left_in(state, key, signed, price)
        if transfer > 0:
            asset = self.books.policy.instruments[symbol_of(key)].settle
            self.deposit(account, f"{TAKEOVER}{trade_id[2:]}d", asset, transfer)
        self.write(Fill(
            account=account,
            time_ns=self.time_ns,
            account_seq=state.fills.next_seq,
            trade_id=trade_id,
            symbol=symbol_of(key),
            side="buy" if signed > 0 else "sell",
            quantity=quantity,
            price=price,
            fee=fee,
            margin_mode=mode,
            leg=leg_name(key),
            margin_transfer=transfer,
            liquidation_id=liquidation_id,
        ))  # fmt: skip

    def cancel(self, account: str, order_id: str, update_id: str) -> None:
        """An order rests no longer."""
        state = self.books.state(account)
        order = state.orders[order_id]
        self.write(OrderUpdate(
            account=account,
            time_ns=self.time_ns,
            account_seq=state.fills.next_seq,
            update_id=update_id,
            order_id=order_id,
            symbol=order.symbol,
            side="buy" if order.quantity > 0 else "sell",
            quantity=ZERO,
            price=order.price,
            leg="long" if order.leg == "long" else "short" if order.leg == "short" else None,
            margin_mode=MarginMode.ISOLATED if order.isolated else MarginMode.CROSS,
        ))  # fmt: skip

    def deposit(self, account: str, entry_id: str, asset: str, amount: Decimal) -> None:
        """Credit `amount` > 0 to a wallet."""
        seq = self.books.state(account).ledger.next_seq
        self.write(Deposit(
            account=account, time_ns=self.time_ns, account_seq=seq, entry_id=entry_id, asset=asset, amount=amount,
        ))  # fmt: skip

    def withdraw(self, account: str, entry_id: str, asset: str, amount: Decimal) -> None:
        """Debit `amount` > 0 from a wallet."""
        seq = self.books.state(account).ledger.next_seq
        self.write(Withdrawal(
            account=account, time_ns=self.time_ns, account_seq=seq, entry_id=entry_id, asset=asset, amount=amount,
        ))  # fmt: skip

    def pay_funding(self, account: str, key: str, mode: MarginMode, mark: Decimal, rate: Decimal) -> None:
        """Settle the funding of one position."""
        state = self.books.state(account)
        instrument = self.books.policy.instruments[symbol_of(key)]
        with exact():
            # longs pay when the rate is positive: - value * rate
            amount = -instrument.value(position_of(state, key, mode).quantity, mark) * rate
        amount = amount.quantize(MONEY)
        if not amount:
            return
        self.write(FundingPayment(
            account=account,
            time_ns=self.time_ns,
            account_seq=state.ledger.next_seq,
            entry_id=f"{FUNDING}{account}-{state.ledger.next_seq}",
            symbol=symbol_of(key),
            amount=amount,
            margin_mode=mode,
            leg=leg_name(key),
        ))  # fmt: skip

    def _left_in(self, state: AccountState, key: str, signed: Decimal, price: Decimal) -> Decimal:
        """What an isolated position leaves in settle asset once it is closed at `price`."""
        isolated = state.isolated[key]
        with exact():
            _, realised = filled(
                isolated.position, signed, price, self.books.policy.instruments[symbol_of(key)]
            )
            return isolated.margin + realised


def tag_of(liquidation_id: str) -> str:
    """The mark of a liquidation in the ids of everything that executes it."""
    return hashlib.sha256(liquidation_id.encode()).hexdigest()[:TAG_DIGITS]


def tag_in(message: AccountInput) -> str | None:
    """The tag of the liquidation that a message executes, or None."""
    if message.input_id.startswith((REDUCTION, TAKEOVER)):
        return message.input_id[2 : 2 + TAG_DIGITS]
    return None


def topic_of(message: AccountInput) -> Topic:
    """The topic that a message travels in."""
    return Topic.FILLS if isinstance(message, FillsInput) else Topic.LEDGER
