"""The books of the whole exchange: every customer, and the exchange's own side of everything a customer does.

Rules
-----
* Customers are booked by `engine.ledger.applying.apply`, as a worker books them; the messages are the whole truth.
* Each message moves the exchange's own books the other way at once, so any prefix of messages is balanced:

      trade                 the street: the rest of the market, with which everybody trades
      takeover, ADL         the insurance fund, which takes positions over and gives them to the other side
      fee                   the fee account; of a liquidation the insurance fund
      funding, conversion   the street
      deposit, withdrawal   the outside

  Who stands on the other side follows from the message alone (`counterparty`), so the books can be made again from the
  topics, in whatever order accounts come.
* Conservation, per asset, exact, at any marks:

      customers' balances + unrealised  +  street's  +  insurance fund's  +  fees  =  deposits - withdrawals

  Sums are kept as messages come (`Party`); `recounted` makes them again from the accounts.
"""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from engine.inputs import (
    AccountInput,
    Deposit,
    Fee,
    Fill,
    FillsInput,
    FundingPayment,
    Interest,
    MarginMode,
    Topic,
    Withdrawal,
)
from engine.ledger.accounts import FLAT, AccountState, Position
from engine.ledger.applying import apply
from engine.ledger.booking import book
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of
from engine.rejections import Rejection
from streams.exchange.clearing.conservation import Balance, NotConserved, Party

STREET, FUND = "street", "insurance-fund"
ENTRY, FUNDING, REDUCTION, TAKEOVER, DELEVERAGING = "e-", "f-", "l-", "k-", "a-"
"""How the ids of messages begin: a customer's own ledger entry, funding, a liquidation, a takeover, an auto-deleveraging."""


class Books:
    """All accounts, booked message by message."""

    def __init__(self, policy: Policy) -> None:
        """Nobody has anything."""
        self.policy = policy
        self.customers: dict[str, AccountState] = {}
        self.street, self.fund = AccountState(STREET), AccountState(FUND)
        self.fees: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.deposits: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.holders: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """By symbol the accounts with a position, shared or isolated."""
        self._parties = {"customers": Party(), STREET: Party(), FUND: Party()}

    def state(self, account: str) -> AccountState:
        """The account; an empty one that has never been named."""
        return self.customers.get(account) or AccountState(account)

    def take(self, message: AccountInput) -> None:
        """Book a customer's message and the exchange's side of it."""
        topic = Topic.FILLS if isinstance(message, FillsInput) else Topic.LEDGER
        before = self.state(message.account)
        after = apply(before, message, topic, 0, self.policy)
        if not isinstance(after, AccountState):
            raise TypeError(f"{message} was not booked: {after}")  # our own message: a fault of this package
        self.customers[message.account] = after
        with exact():
            self._parties["customers"].change(before, after, self.policy)
            self._mirror(message)
        if before.positions is not after.positions or before.isolated is not after.isolated:
            self._follow_holders(message.account, before, after)

    def endow_fund(self, asset: str, amount: Decimal) -> None:
        """Pay capital into the insurance fund."""
        with exact():
            self.deposits[asset] += amount
            self._house(FUND, Deposit(account=FUND, time_ns=0, entry_id="-", asset=asset, amount=amount))

    def trade_of_fund(self, symbol: str, signed: Decimal, price: Decimal) -> None:
        """The fund sells to the street what it has taken over (or buys back); signed > 0 buys."""
        with exact():
            self._trade(FUND, symbol, signed, price)
            self._trade(STREET, symbol, -signed, price)

    def check(self, marks: Mapping[str, Decimal], step: int) -> dict[str, Balance]:
        """The equation of every asset. Raises `NotConserved` with the step and the difference where one does not hold."""
        with exact():
            for symbol in self.policy.instruments:
                excess = sum((party.quantity[symbol] for party in self._parties.values()), ZERO)
                if excess:
                    raise NotConserved(
                        f"step {step}: {canonical(excess)} contracts of {symbol} have no other side"
                    )
            balances = self._balances(marks)
            for asset, balance in balances.items():
                if balance.difference:
                    difference = canonical(balance.difference)
                    raise NotConserved(f"step {step}: {difference} {asset} too much: {balance}")
        return balances

    def recounted(self) -> bool:
        """Whether the sums kept are those of the accounts, one by one."""
        again = {name: Party() for name in self._parties}
        with exact():
            for state in self.customers.values():
                again["customers"].change(AccountState(state.account), state, self.policy)
            again[STREET].change(AccountState(STREET), self.street, self.policy)
            again[FUND].change(AccountState(FUND), self.fund, self.policy)
        return all(party.same(again[name]) for name, party in self._parties.items())

    def open_interest(self, symbol: str) -> Decimal:
        """Contracts open: of all long positions, the street's and the fund's among them, which is that of all short ones."""
        with exact():
            return canonical(sum((party.longs[symbol] for party in self._parties.values()), ZERO))

    def customers_longs(self) -> dict[str, Decimal]:
        """Contracts of customers' long positions by symbol."""
        longs: defaultdict[str, Decimal] = defaultdict(Decimal)
        with exact():
            for state in self.customers.values():
                held = [(key, it.position) for key, it in state.isolated.items()]
                for key, position in (*state.positions.items(), *held):
                    longs[symbol_of(key)] += max(ZERO, position.quantity)
        return longs

    def _balances(self, marks: Mapping[str, Decimal]) -> dict[str, Balance]:
        unrealised = {name: party.unrealised(marks, self.policy) for name, party in self._parties.items()}
        cash = {name: party.cash for name, party in self._parties.items()}
        return {
            asset: Balance(
                cash["customers"][asset],
                unrealised["customers"].get(asset, ZERO),
                cash[STREET][asset] + unrealised[STREET].get(asset, ZERO),
                cash[FUND][asset] + unrealised[FUND].get(asset, ZERO),
                self.fees[asset],
                self.deposits[asset],
            )
            for asset in self.policy.assets
        }

    def _mirror(self, message: AccountInput) -> None:
        """Move the exchange's own books by the same message, the other way."""
        house = counterparty(message)
        match message:
            case Fill():
                signed = message.quantity if message.side == "buy" else -message.quantity
                self._trade(house, message.symbol, -signed, message.price)
                fee_asset = message.fee_asset or self.policy.instruments[message.symbol].settle
                if message.trade_id.startswith(REDUCTION):
                    self._pay(FUND, message, fee_asset, message.fee)
                else:
                    self.fees[fee_asset] += message.fee
            case Deposit(asset=asset, amount=amount) | Withdrawal(asset=asset, amount=amount):
                credited = amount if isinstance(message, Deposit) else -amount
                if house:
                    self._pay(house, message, asset, -credited)
                else:
                    self.deposits[asset] += credited
            case FundingPayment(symbol=symbol, amount=amount):
                self._pay(STREET, message, self.policy.instruments[symbol].settle, -amount)
            case Fee(asset=asset, amount=amount) | Interest(asset=asset, amount=amount):
                self.fees[asset] += amount

    def _pay(self, house: str, message: AccountInput, asset: str, amount: Decimal) -> None:
        """Credit `amount` to one of the exchange's own accounts (< 0: debit)."""
        if amount:
            paid = Fee(account=house, time_ns=message.time_ns, entry_id="-", asset=asset, amount=-amount)
            self._house(house, paid)

    def _trade(self, house: str, symbol: str, signed: Decimal, price: Decimal) -> None:
        side: Literal["buy", "sell"] = "buy" if signed > 0 else "sell"
        self._house(house, Fill(
            account=house, time_ns=0, trade_id="-", symbol=symbol, side=side, quantity=abs(signed), price=price,
        ))  # fmt: skip

    def _house(self, house: str, message: AccountInput) -> None:
        before = self.street if house == STREET else self.fund
        after = book(before, message, self.policy)
        if isinstance(after, Rejection):
            raise TypeError(f"{message} was not booked: {after}")
        self._parties[house].change(before, after, self.policy)
        if house == STREET:
            self.street = after
        else:
            self.fund = after

    def _follow_holders(self, account: str, before: AccountState, after: AccountState) -> None:
        old, new = held_symbols(before), held_symbols(after)
        for symbol in old - new:
            del self.holders[symbol][account]
        for symbol in new - old:
            self.holders[symbol][account] = None


def counterparty(message: AccountInput) -> str:
    """Which of the exchange's accounts stands on the other side; "" for the outside."""
    kind = message.input_id[:2]
    if kind in {TAKEOVER, DELEVERAGING}:
        return FUND
    if kind == REDUCTION or isinstance(message, Fill | FundingPayment):
        return STREET
    return ""


def held_symbols(state: AccountState) -> set[str]:
    """Symbols in which the account has a position."""
    isolated = {symbol_of(key) for key, held in state.isolated.items() if held.position.quantity}
    return isolated | {symbol_of(key) for key in state.positions}


def position_of(state: AccountState, key: str, mode: MarginMode) -> Position:
    """The position under `key` in the pool that `mode` names; flat where there is none."""
    if mode is MarginMode.CROSS:
        return state.positions.get(key, FLAT)
    return state.isolated[key].position if key in state.isolated else FLAT
