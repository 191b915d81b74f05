"""The pool of an account that differs by one position and by its wallets: what does not change is taken over.

Margins and exposures of the other positions stay, and so does what the other underlyings require; a coin that is an
underlying changes with its amount. Values of assets and totals are summed anew. `portfolio_pool` says the same of the account.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.cross.asset_equity import pooled_assets
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.portfolio.correlation import Credit, correlation_credits
from engine.margin.portfolio.exposure import Exposure
from engine.margin.portfolio.pool_exposures import pool_exposures
from engine.margin.portfolio.portfolio_margin import PortfolioMargin, total_maintenance, total_margin
from engine.margin.portfolio.portfolio_pool import PortfolioPool, stable_price
from engine.margin.portfolio.risk_unit import UnitMargin, unit_margin
from engine.margin.position_margin import PositionMargin
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.position_keys import symbol_of

_replace = msgspec.structs.replace


def changed_pool(
    pool: PortfolioPool, state: AccountState, key: str | None, prices: Prices, policy: Policy
) -> PortfolioPool:
    """The pool of `state`, of whose positions only `key` is not as in `pool`. Inside `numbers.exact()`."""
    positions, now, changed = pool.positions, list[PositionMargin](), set[str]()
    if key is not None:
        changed.add(policy.instruments[symbol_of(key)].base)
        held = state.positions.get(key)
        if held is not None:
            now, _ = cross_positions(_replace(state, positions={key: held}), prices, policy)
        at = next(place for place, margin in enumerate(positions) if margin.key == key)
        positions = [*positions[:at], *now, *positions[at + 1 :]]
    assets = pooled_assets(state, positions, prices, policy, options_count=True)
    before, after = ({it.asset: it.amount for it in held} for held in (pool.assets, assets))
    coins = {
        it for it in before.keys() | after.keys() if before.get(it) != after.get(it)
    } & policy.underlyings
    exposures, _ = pool_exposures(now, [it for it in assets if it.asset in coins], prices, policy)
    changed |= coins

    def stays(one: Exposure) -> bool:
        return one.symbol not in coins if one.kind == "spot" else one.symbol != key

    groups = {}
    for name in changed:
        group = [one for one in pool.margin.exposures.get(name, ()) if stays(one)]
        groups[name] = group + [one for one in exposures if one.underlying == name]
    return PortfolioPool(positions, assets, _with(pool.margin, groups, prices, policy), pool.degraded)


def maintenance_after(
    pool: PortfolioPool, key: str, left: Decimal, prices: Prices, policy: Policy
) -> Decimal:
    """Portfolio MM with `left` contracts (signed) of a linear position, nothing else changed. Inside `numbers.exact()`."""
    instrument = policy.instruments[symbol_of(key)]
    name, group = instrument.base, []
    for one in pool.margin.exposures[name]:
        if one.kind == "spot" or one.symbol != key:
            group.append(one)
        elif left:
            group.append(_replace(one, quantity=left * instrument.multiplier))
    units, found = _units_with(pool.margin, {name: group}, prices, policy)
    return total_maintenance(units, found, pool.margin.rules)


def _with(
    before: PortfolioMargin, groups: Mapping[str, list[Exposure]], prices: Prices, policy: Policy
) -> PortfolioMargin:
    """With these exposures of some underlyings."""
    held = {name: group for name, group in (before.exposures | dict(groups)).items() if group}
    units, found = _units_with(before, groups, prices, policy)
    return total_margin(held, units, found, before.rules)


def _units_with(
    before: PortfolioMargin, groups: Mapping[str, list[Exposure]], prices: Prices, policy: Policy
) -> tuple[dict[str, UnitMargin], tuple[Credit, ...]]:
    rules, units = before.rules, before.units.copy()
    stable, _ = stable_price(prices, policy)
    for name, group in groups.items():
        if group:
            units[name] = unit_margin(name, group, rules.unit(name), rules.peg, stable)
        else:
            units.pop(name, None)
    found = before.credits
    if any(pair.first in groups or pair.second in groups for pair in rules.correlations):
        found = correlation_credits(units, rules.correlations)
    return units, found
