"""Writing what customers are told: each input is numbered, booked at once, and kept until it is sent.

Ids say who stands on the other side (`streams.exchange.clearing.clearing`) and, in a liquidation, which one they belong to: `l-TAG-N`, TAG
a digest of the liquidation id. So a liquidation executed twice would send the same ids, which nobody books twice.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.inputs import (
    AccountInput,
    Deposit,
    Fill,
    FillsInput,
    FundingPayment,
    IsolatedTransfer,
    MarginMode,
    OrderUpdate,
    Topic,
    Withdrawal,
)
from engine.ledger.accounts import AccountState
from engine.ledger.booking import filled
from engine.liquidation.moves import leg_name
from engine.margin.isolated_pool import open_isolated
from engine.numbers import ZERO, exact
from engine.position_keys import symbol_of
from streams.exchange.clearing.clearing import FUNDING, REDUCTION, TAKEOVER, Books, position_of
from streams.exchange.traders.contracts import MONEY

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
        held = position_of(state, key, _mode(pool))
        signed = -quantity if held.quantity > 0 else quantity
        transfer = ZERO
        if pool:
            transfer = -fee if quantity < abs(held.quantity) else -self._left_in(state, key, signed, price)
        if transfer > 0:
            asset = self.books.policy.instruments[symbol_of(key)].settle
            self.deposit(account, f"{TAKEOVER}{trade_id[2:]}d", asset, transfer, liquidation_id)
        self._fill(account, pool, key, signed, price, fee, transfer, trade_id, liquidation_id)

    def hand_over(
        self, account: str, pool: str, key: str, price: Decimal, trade_id: str, liquidation_id: str
    ) -> None:
        """Give a whole position of a pool to the fund; what that leaves of its margin stays where it is."""
        held = position_of(self.books.state(account), key, _mode(pool)).quantity
        self._fill(account, pool, key, -held, price, ZERO, ZERO, trade_id, liquidation_id)

    def hand_over_balance(
        self,
        account: str,
        pool: str,
        asset: str,
        amount: Decimal,
        entry_ids: Sequence[str],
        liquidation_id: str,
    ) -> None:
        """Give `amount` coins to the fund, < 0 take them from it: of the wallet, or of the margin of an isolated position.

        Margin goes through the wallet, for which there has to be a second id.
        """
        move, coins = (self.withdraw, amount) if amount > 0 else (self.deposit, -amount)
        if pool and amount > 0:
            self._transfer(account, pool, -amount, entry_ids[1], liquidation_id)
        move(account, entry_ids[0], asset, coins, liquidation_id)
        if pool and amount < 0:
            self._transfer(account, pool, -amount, entry_ids[1], liquidation_id)

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

    def deposit(
        self, account: str, entry_id: str, asset: str, amount: Decimal, liquidation_id: str | None = None
    ) -> None:
        """Credit `amount` > 0 to a wallet."""
        seq = self.books.state(account).ledger.next_seq
        self.write(Deposit(
            account=account, time_ns=self.time_ns, account_seq=seq, entry_id=entry_id, asset=asset, amount=amount,
            liquidation_id=liquidation_id,
        ))  # fmt: skip

    def withdraw(
        self, account: str, entry_id: str, asset: str, amount: Decimal, liquidation_id: str | None = None
    ) -> None:
        """Debit `amount` > 0 from a wallet."""
        seq = self.books.state(account).ledger.next_seq
        self.write(Withdrawal(
            account=account, time_ns=self.time_ns, account_seq=seq, entry_id=entry_id, asset=asset, amount=amount,
            liquidation_id=liquidation_id,
        ))  # fmt: skip

    def settle_funding(self, rates: Mapping[str, tuple[Decimal, Decimal]]) -> list[FundingPayment]:
        """Settle every position in symbols of `rates` (mark and rate): longs pay where it is > 0, the street has the rest."""
        paid: list[FundingPayment] = []
        for account in sorted(self.books.customers):
            state = self.books.state(account)
            keys = [(key, MarginMode.CROSS) for key in state.positions]
            keys += [(key, MarginMode.ISOLATED) for key in open_isolated(state)]
            for key, mode in keys:
                if symbol_of(key) in rates:
                    paid += self._pay_funding(account, key, mode, *rates[symbol_of(key)])
        return paid

    def pay_back(self, payment: FundingPayment, mode: MarginMode) -> None:
        """Undo a funding payment, in the pool that `mode` names."""
        seq = self.books.state(payment.account).ledger.next_seq
        self.write(msgspec.structs.replace(
            payment, time_ns=self.time_ns, account_seq=seq, entry_id=f"{FUNDING}{payment.account}-{seq}",
            amount=-payment.amount, margin_mode=mode,
        ))  # fmt: skip

    def _pay_funding(
        self, account: str, key: str, mode: MarginMode, mark: Decimal, rate: Decimal
    ) -> list[FundingPayment]:
        """Settle one position; nothing where it comes to nothing."""
        state = self.books.state(account)
        instrument = self.books.policy.instruments[symbol_of(key)]
        with exact():
            # longs pay when the rate is positive: - value * rate
            amount = -instrument.scaled_value(position_of(state, key, mode).quantity, mark) * rate
        amount = amount.quantize(MONEY)
        if not amount:
            return []
        payment = FundingPayment(
            account=account,
            time_ns=self.time_ns,
            account_seq=state.ledger.next_seq,
            entry_id=f"{FUNDING}{account}-{state.ledger.next_seq}",
            symbol=symbol_of(key),
            amount=amount,
            margin_mode=mode,
            leg=leg_name(key),
        )
        self.write(payment)
        return [payment]

    def _transfer(self, account: str, key: str, amount: Decimal, entry_id: str, liquidation_id: str) -> None:
        """Move `amount` from the wallet into the margin of an isolated position (< 0: back)."""
        seq = self.books.state(account).ledger.next_seq
        self.write(IsolatedTransfer(
            account=account, time_ns=self.time_ns, account_seq=seq, entry_id=entry_id,
            symbol=symbol_of(key), leg=leg_name(key), amount=amount, liquidation_id=liquidation_id,
        ))  # fmt: skip

    def _fill(
        self,
        account: str,
        pool: str,
        key: str,
        signed: Decimal,
        price: Decimal,
        fee: Decimal,
        transfer: Decimal,
        trade_id: str,
        liquidation_id: str | None,
    ) -> None:
        self.write(Fill(
            account=account,
            time_ns=self.time_ns,
            account_seq=self.books.state(account).fills.next_seq,
            trade_id=trade_id,
            symbol=symbol_of(key),
            side="buy" if signed > 0 else "sell",
            quantity=abs(signed),
            price=price,
            fee=fee,
            margin_mode=_mode(pool),
            leg=leg_name(key),
            margin_transfer=transfer,
            liquidation_id=liquidation_id,
        ))  # fmt: skip

    def _left_in(self, state: AccountState, key: str, signed: Decimal, price: Decimal) -> Decimal:
        """What an isolated position leaves in settle asset once it is closed at `price`."""
        isolated = state.isolated[key]
        with exact():
            _, realised = filled(
                isolated.position, signed, price, self.books.policy.instruments[symbol_of(key)]
            )
            return isolated.margin + realised


def _mode(pool: str) -> MarginMode:
    return MarginMode.ISOLATED if pool else MarginMode.CROSS


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
