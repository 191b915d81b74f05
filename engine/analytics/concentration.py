"""Where an account's risk lies: deltas by underlying, and its share of what is open on the market.

delta of a holding   gain in account currency when the underlying doubles, to first order (`portfolio.exposure.delta_of`)
net, gross           sum of the deltas of an underlying; sum of their magnitudes
beta-weighted net    sum over underlyings of beta * net
share                gross of the underlying / gross of all
share of interest    |contracts of the account| / open interest;    open interest = the larger of all longs and all shorts of the
                     accounts at hand, or what the contract's mark says of the whole market

Coins that are underlyings count with what the pool holds of them, isolated positions like those of the shared pool.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, Position
from engine.margin.cross.asset_equity import pooled_assets
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.isolated_pool import isolated_margin, open_isolated
from engine.margin.portfolio.exposure import delta_of
from engine.margin.portfolio.pool_exposures import pool_exposures
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, divide, exact
from engine.policy import Policy
from engine.position_keys import symbol_of


class HoldingDelta(msgspec.Struct, frozen=True, kw_only=True):
    """The delta of one position or coin, in account currency."""

    item: str
    """Position key, or the coin."""
    delta: Decimal


class UnderlyingDelta(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on one underlying, in account currency."""

    underlying: str
    net: Decimal
    gross: Decimal
    beta: Decimal
    beta_net: Decimal
    share: Decimal
    """Of the gross of all underlyings."""
    holdings: tuple[HoldingDelta, ...]
    """They sum to `net`."""


class InterestShare(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds of a contract of which the open interest is known."""

    symbol: str
    contracts: Decimal
    """Net of its legs and modes, signed."""
    open_interest: Decimal
    share: Decimal


class Concentration(msgspec.Struct, frozen=True, kw_only=True):
    """The whole account; amounts in account currency."""

    net: Decimal
    gross: Decimal
    beta_net: Decimal
    underlyings: tuple[UnderlyingDelta, ...]
    """The largest gross first."""
    interest: tuple[InterestShare, ...]
    """The largest share first; contracts of which no total is known are left out."""
    degraded: bool
    """A price that a delta needs is missing or stale."""


def concentration(
    state: AccountState, prices: Prices, policy: Policy, open_interest: Mapping[str, Decimal]
) -> Concentration:
    """The deltas of an account, and its share of `open_interest` (contracts by symbol)."""
    with exact():
        by_underlying, degraded = _deltas(state, prices, policy)
        gross_of = {name: sum((abs(it.delta) for it in held), ZERO) for name, held in by_underlying.items()}
        gross = sum(gross_of.values(), ZERO)
        underlyings = []
        for name, held in by_underlying.items():
            net, beta = sum((it.delta for it in held), ZERO), policy.stress.beta(name)
            underlyings.append(
                UnderlyingDelta(
                    underlying=name,
                    net=canonical(net),
                    gross=canonical(gross_of[name]),
                    beta=beta,
                    beta_net=canonical(beta * net),
                    share=divide(gross_of[name], gross) if gross else ZERO,
                    holdings=tuple(held),
                )
            )
        return Concentration(
            net=canonical(sum((it.net for it in underlyings), ZERO)),
            gross=canonical(gross),
            beta_net=canonical(sum((it.beta_net for it in underlyings), ZERO)),
            underlyings=tuple(sorted(underlyings, key=lambda it: (-it.gross, it.underlying))),
            interest=_shares(state, open_interest),
            degraded=degraded,
        )


def open_interest_said(prices: Prices) -> dict[str, Decimal]:
    """Contracts open on the whole market by symbol, where the symbol's mark says so."""
    return {
        symbol: mark.open_interest for symbol, mark in prices.marks.items() if mark.open_interest is not None
    }


def open_interest_of(states: Iterable[AccountState]) -> dict[str, Decimal]:
    """Contracts open on a market whose accounts are `states`, by symbol."""
    longs: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    shorts: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    with exact():
        for state in states:
            for key, position in _positions(state):
                side = longs if position.quantity > 0 else shorts
                side[symbol_of(key)] += abs(position.quantity)
        symbols = longs.keys() | shorts.keys()
        return {symbol: canonical(max(longs[symbol], shorts[symbol])) for symbol in symbols}


def _deltas(
    state: AccountState, prices: Prices, policy: Policy
) -> tuple[dict[str, list[HoldingDelta]], bool]:
    held, stale = cross_positions(state, prices, policy)
    assets = pooled_assets(state, held, prices, policy, options_count=True)
    for key in open_isolated(state):
        margin, fresh = isolated_margin(state, key, prices, policy)
        held.append(margin)
        stale = stale or not fresh
    exposures, missing = pool_exposures(held, assets, prices, policy)
    found: dict[str, list[HoldingDelta]] = {}
    for one in exposures:
        item = HoldingDelta(item=one.symbol, delta=canonical(delta_of(one)))
        found.setdefault(one.underlying, []).append(item)
    return found, stale or missing


def _shares(state: AccountState, open_interest: Mapping[str, Decimal]) -> tuple[InterestShare, ...]:
    net: dict[str, Decimal] = {}
    for key, position in _positions(state):
        symbol = symbol_of(key)
        net[symbol] = net.get(symbol, ZERO) + position.quantity
    shares = [
        InterestShare(
            symbol=symbol,
            contracts=canonical(contracts),
            open_interest=open_interest[symbol],
            # |contracts| / open interest
            share=divide(abs(contracts), open_interest[symbol]),
        )
        for symbol, contracts in net.items()
        if open_interest.get(symbol)
    ]
    return tuple(sorted(shares, key=lambda it: (-it.share, it.symbol)))


def _positions(state: AccountState) -> Iterable[tuple[str, Position]]:
    yield from state.positions.items()
    yield from ((key, it.position) for key, it in state.isolated.items() if it.position.quantity)
