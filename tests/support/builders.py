"""Tiny makers of engine values: a policy from TOML text, marks, states and inputs, all from plain numbers."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.inputs import AccountInput, Deposit, Fill, Mark, Topic
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.ledger.applying import apply, stopped
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import canonical
from engine.policy import Policy, parse
from engine.rejections import Rejection

Number = Decimal | int | str

SAMPLE = """
name = "sample"
account_currency = "USD"

[prices]
stale_grace_seconds = 0
stale_after_seconds = 10
future_tolerance_seconds = 2
jump_fraction = 0.1
jump_confirmations = 3

[ladder]
warning = 1.5
margin_call = 1.2
reduce_only = 1.05
liquidation = 1.0
exit_band = 0.02
exit_hold_seconds = 5

[assets.USD]

[assets.USDT]
index = "USDT-USD"

[assets.BTC]
index = "BTC-USD"
tiers = [{ floor = 0, ratio = 0.95 }, { floor = 100, ratio = 0.9 }, { floor = 500, ratio = 0.8 }]
liability_factor = 1.05

[[tiers.major]]
floor = 0
maintenance_rate = 0.05
initial_rate = 0.1

[[tiers.major]]
floor = 1000000
maintenance_rate = 0.1
initial_rate = 0.2

[[tiers.major]]
floor = 5000000
maintenance_rate = 0.25
initial_rate = 0.5

[instruments.BTC-USDT]
kind = "spot"
base = "BTC"
settle = "USDT"

[instruments.BTC-PERP]
kind = "perpetual"
base = "BTC"
settle = "USDT"
tiers = "major"

[instruments.ETH-PERP]
kind = "perpetual"
base = "ETH"
settle = "USDT"
tiers = "major"

[instruments.ADA-PERP]
kind = "perpetual"
base = "ADA"
settle = "USDT"
multiplier = 10
tiers = "major"

[instruments.USD-PERP]
kind = "perpetual"
base = "BTC"
settle = "USD"
tiers = "major"
"""
"""Round numbers for sums by hand: 5 % maintenance and 10 % initial up to a notional of a million."""


def sample(*changes: tuple[str, str]) -> Policy:
    """The sample policy with pieces of its text replaced; every piece must occur."""
    return parse(sample_text(*changes))


def sample_text(*changes: tuple[str, str]) -> str:
    """The text behind `sample`."""
    text = SAMPLE
    for old, new in changes:
        assert old in text, f"the sample policy has no {old!r}"
        text = text.replace(old, new, 1)
    return text


def seconds(count: Number) -> int:
    """Event time in ns."""
    return int(Decimal(count) * NANOSECONDS)


def mark(symbol: str, price: Number, sequence: int = 1, at: Number = 0, **facts: Number) -> Mark:
    """A mark dated `at` seconds, with the optional facts it carries (volatility, funding rate and so on)."""
    known = {name: Decimal(fact) for name, fact in facts.items()}
    return Mark(symbol=symbol, price=Decimal(price), sequence=sequence, time_ns=seconds(at), **known)


def prices(quotes: Mapping[str, Number | Mark], stale: Iterable[str] = (), at: Number = 0) -> Prices:
    """A view of believed marks at event time `at` (seconds); symbols that are not quoted are missing."""
    marks = {
        symbol: quote if isinstance(quote, Mark) else mark(symbol, quote) for symbol, quote in quotes.items()
    }
    return Prices(marks, frozenset(stale), seconds(at))


def position(quantity: Number, entry_price: Number, multiplier: Number = 1) -> Position:
    """Open contracts bought (or sold) at one price."""
    signed = Decimal(quantity)
    return Position(canonical(signed), canonical(signed * Decimal(multiplier) * Decimal(entry_price)))


def account(
    balances: Mapping[str, Number] | None = None,
    positions: Mapping[str, tuple[Number, Number]] | None = None,
    isolated: Mapping[str, tuple[Number, Number, Number]] | None = None,
    leverage: Mapping[str, Number] | None = None,
    name: str = "alice",
) -> AccountState:
    """An account: positions as (quantity, entry price), isolated as (quantity, entry price, margin)."""
    return AccountState(
        account=name,
        balances={asset: canonical(Decimal(amount)) for asset, amount in (balances or {}).items()},
        positions={symbol: position(*held) for symbol, held in (positions or {}).items()},
        isolated={
            symbol: IsolatedPosition(position(quantity, entry), canonical(Decimal(margin)))
            for symbol, (quantity, entry, margin) in (isolated or {}).items()
        },
        leverage={symbol: canonical(Decimal(times)) for symbol, times in (leverage or {}).items()},
    )


def trade(symbol: str, signed: Number, price: Number, **fields: object) -> Fill:
    """A fill: a positive quantity buys, a negative one sells."""
    quantity = Decimal(signed)
    numbers = {
        key: Decimal(value) if key in {"fee", "margin_transfer"} else value for key, value in fields.items()
    }
    return Fill(
        account="alice",
        time_ns=0,
        symbol=symbol,
        side="buy" if quantity > 0 else "sell",
        quantity=quantity.copy_abs(),
        price=Decimal(price),
        **{"trade_id": f"t-{symbol}-{signed}-{price}", **numbers},
    )


def deposit(amount: Number, asset: str = "USD", **fields: object) -> Deposit:
    """A credit to the wallet."""
    return Deposit(account="alice", entry_id="d", time_ns=0, asset=asset, amount=Decimal(amount), **fields)


def applied(state: AccountState, policy: Policy, topic: Topic, *messages: AccountInput) -> AccountState:
    """Apply messages that must all be accepted, at offsets counting from 0."""
    for offset, message in enumerate(messages):
        after = apply(state, message, topic, offset, policy)
        assert isinstance(after, AccountState), after
        state = after
    return state


def consumed(
    state: AccountState, policy: Policy, inputs: Iterable[tuple[Topic, int, AccountInput]]
) -> AccountState:
    """Consume (topic, offset, message) as a shard does: a rejection stops the topic, a duplicate does nothing."""
    for topic, offset, message in inputs:
        after = apply(state, message, topic, offset, policy)
        if isinstance(after, Rejection):
            state = stopped(state, topic, offset, after.code, message.account_seq)
        elif isinstance(after, AccountState):
            state = after
    return state
