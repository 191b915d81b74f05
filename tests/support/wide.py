"""The sample policy with a contract of every kind, and accounts that hold them."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition, OpenOrder, Position
from engine.ledger.booking import filled
from engine.numbers import canonical, exact
from engine.policy import MarginRules, Policy, parse
from tests.support.builders import Number, sample_text

WIDE = """
[[tiers.coin]]
floor = 0
maintenance_rate = 0.005
initial_rate = 0.01

[[tiers.coin]]
floor = 5
maintenance_rate = 0.01
initial_rate = 0.02

[instruments.BTC-DEC]
kind = "future"
base = "BTC"
settle = "USDT"
tiers = "major"
expiry = 2026-12-25T08:00:00Z

[instruments.BTC-INV]
kind = "perpetual"
payoff = "inverse"
base = "BTC"
settle = "BTC"
multiplier = 100
tiers = "coin"

[instruments.BTC-INV-DEC]
kind = "future"
payoff = "inverse"
base = "BTC"
settle = "BTC"
multiplier = 100
tiers = "coin"
expiry = 2026-12-25T08:00:00Z

[instruments.BTC-50000-C]
kind = "option"
base = "BTC"
settle = "USDT"
expiry = 2026-12-25T08:00:00Z
strike = 50000
right = "call"
margin = "option"

[instruments.BTC-60000-C]
kind = "option"
base = "BTC"
settle = "USDT"
expiry = 2026-12-25T08:00:00Z
strike = 60000
right = "call"
margin = "option"

[instruments.BTC-40000-P]
kind = "option"
base = "BTC"
settle = "USDT"
expiry = 2026-12-25T08:00:00Z
strike = 40000
right = "put"
margin = "option"

[instruments.BTC-COIN-C]
kind = "option"
base = "BTC"
settle = "BTC"
expiry = 2026-12-25T08:00:00Z
strike = 50000
right = "call"
margin = "option"

[margin.option]
option = "short"

[option_margin.short]
initial_rate = 0.15
initial_floor_rate = 0.1
call_maintenance_rate = 0.075
put_maintenance_rate = 0.075
"""
"""Coin tiers: 0.5 % maintenance and 1 % initial up to 5 coins, twice that above."""


def wide(*changes: tuple[str, str]) -> Policy:
    """The wide policy with pieces of its text replaced; every piece must occur."""
    return parse(wide_text(*changes))


def wide_text(*changes: tuple[str, str]) -> str:
    """The text behind `wide`."""
    text = sample_text() + WIDE
    for old, new in changes:
        assert old in text, f"the wide policy has no {old!r}"
        text = text.replace(old, new, 1)
    return text


def with_pool(policy: Policy, **switches: object) -> Policy:
    """The same policy with switches of its pool set."""
    return msgspec.structs.replace(policy, pool=msgspec.structs.replace(policy.pool, **switches))


def with_margin(
    policy: Policy, symbol: str = "BTC-PERP", instrument: Mapping[str, object] | None = None, **rules: object
) -> Policy:
    """The same policy with its default margin rules, and fields of one instrument, set."""
    listed = msgspec.structs.replace(policy.instruments[symbol], **(instrument or {}))
    return msgspec.structs.replace(
        policy,
        instruments={**policy.instruments, symbol: listed},
        margin={**policy.margin, "default": MarginRules(**rules)},
    )


def opened(policy: Policy, key: str, quantity: Number, price: Number) -> Position:
    """A position bought or sold at one price, its entry value by the payoff of its instrument."""
    with exact():
        return filled(
            FLAT, Decimal(quantity), Decimal(price), policy.instruments[key.split("|", maxsplit=1)[0]]
        )[0]


def holding(
    policy: Policy,
    balances: Mapping[str, Number] | None = None,
    positions: Mapping[str, tuple[Number, Number]] | None = None,
    isolated: Mapping[str, tuple[Number, Number, Number]] | None = None,
    **fields: object,
) -> AccountState:
    """An account: positions as (quantity, entry price), isolated ones as (quantity, entry price, margin)."""
    return AccountState(
        account="alice",
        balances={asset: canonical(Decimal(amount)) for asset, amount in (balances or {}).items()},
        positions={key: opened(policy, key, *held) for key, held in (positions or {}).items()},
        isolated={
            key: IsolatedPosition(opened(policy, key, quantity, price), canonical(Decimal(margin)))
            for key, (quantity, price, margin) in (isolated or {}).items()
        },
        **fields,
    )


def order(symbol: str, signed: Number, price: Number, **fields: object) -> OpenOrder:
    """A resting order: a positive quantity buys, a negative one sells."""
    return OpenOrder(symbol, canonical(Decimal(signed)), canonical(Decimal(price)), **fields)
