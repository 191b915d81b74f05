"""The figures of the shared pool, in account currency."""

from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

from tests.engine.reference.assets import Standing, conversion, quote, standing
from tests.engine.reference.orders import Reserved, contract_orders, markets, spot_filled, spot_reserved
from tests.engine.reference.positions import hedge, least_worth, pnl, required, rules_of, worth
from tests.engine.reference.rounding import quotient


class Pool(NamedTuple):
    """What `engine.margin.cross.cross_pool.cross_figures` answers, as fractions, with everything derived from it."""

    equity: Fraction
    collateral_value: Fraction
    initial_margin: Fraction
    maintenance_margin: Fraction
    degraded: bool
    liquidation_fee: Fraction
    ratio: Fraction | None
    initial_ratio: Fraction | None
    available_margin: Fraction
    shortfall: Fraction
    """To a ratio of 1."""


def pool(state: SimpleNamespace, prices: SimpleNamespace, policy: SimpleNamespace) -> Pool:
    """All figures; the arguments are `plain`."""
    held = [position(key, one, state, prices, policy) for key, one in state.positions.items()]
    hedge(policy, held)
    profits = {asset: (Fraction(0), Fraction(0)) for asset in state.balances}
    for one in held:
        whole, counted = profits.get(one.settle, (Fraction(0), Fraction(0)))
        weight = profit_share(one.symbol, prices, policy) if one.unrealised > 0 else 1
        profits[one.settle] = (
            whole + one.unrealised + one.funding,
            counted + one.unrealised * weight + one.funding,
        )

    equity = value = fee = initial = maintenance = Fraction(0)
    for asset, (profit, counted) in profits.items():
        wallet = state.balances.get(asset, Fraction(0))
        equity += (wallet + profit) * quote(policy, asset, prices).index
        stands = standing(policy, state, asset, wallet, counted, prices)
        value += stands.collateral
        initial += stands.owed + stands.initial
        maintenance += stands.owed + stands.maintenance
    for one in held:
        unit = conversion(policy, one.settle, prices)
        initial += one.required.initial * unit
        maintenance += one.required.maintenance * unit
        fee += policy.pool.liquidation_fee_rate * one.required.notional * unit
    orders, fresh_orders = order_margin(state, held, profits, prices, policy)
    initial += sum(one.initial for one in orders)
    maintenance += sum(one.maintenance for one in orders)
    value += sum(one.collateral for one in orders)

    owing = any(state.balances.get(asset, 0) + whole < 0 for asset, (whole, _) in profits.items())
    stale_asset = any(not quote(policy, asset, prices).fresh for asset in profits)
    stale_mark = any(not one.fresh for one in held) or not fresh_orders
    requirement = maintenance + fee
    return Pool(
        equity=equity,
        collateral_value=value,
        initial_margin=initial,
        maintenance_margin=maintenance,
        degraded=stale_mark or (bool(held or orders or owing) and stale_asset),
        liquidation_fee=fee,
        ratio=quotient(value, requirement) if requirement else None,
        initial_ratio=quotient(value, initial) if initial else None,
        available_margin=max(Fraction(0), value - initial),
        shortfall=max(Fraction(0), requirement - value),
    )


def mark_of(
    symbol: str, quantity: Fraction, entry_value: Fraction, prices: SimpleNamespace, policy: SimpleNamespace
) -> Fraction:
    """The last mark, or the price at which the contracts were entered where there never was one."""
    mark = prices.marks.get(symbol)
    if mark is not None:
        return mark.price
    contract = policy.instruments[symbol]
    size = quantity * contract.multiplier
    if contract.payoff == "linear":
        return quotient(entry_value, size)
    # contracts too few to have a value in coin have no price either
    return quotient(size, entry_value) if entry_value else Fraction(1)


def profit_share(symbol: str, prices: SimpleNamespace, policy: SimpleNamespace) -> Fraction:
    """Of a profit what counts: its weight, and where the rules say so no more than the losing side can pay."""
    rules, mark = rules_of(policy, symbol), prices.marks.get(symbol)
    said = None if mark is None or not rules.realisable_profit else mark.realisable_share
    return rules.profit_weight if said is None else min(rules.profit_weight, said)


def interest_in(symbol: str, prices: SimpleNamespace) -> Fraction | None:
    """Contracts open on the whole market, where the symbol's mark says so."""
    return prices.marks[symbol].open_interest if symbol in prices.marks else None


def position(
    key: str, held: SimpleNamespace, state: SimpleNamespace, prices: SimpleNamespace, policy: SimpleNamespace
) -> SimpleNamespace:
    """One position with its profit, the funding it accrued, and what it requires by itself."""
    symbol = key.split("|", maxsplit=1)[0]
    contract = policy.instruments[symbol]
    mark = mark_of(symbol, held.quantity, held.entry_value, prices, policy)
    leverage = state.leverage.get(symbol, policy.leverage_default)
    interest = interest_in(symbol, prices)
    value = worth(contract, held.quantity, mark)
    funding = Fraction(0)
    rate = prices.marks[symbol].funding_rate if symbol in prices.marks else None
    if policy.pool.funding_accrual and contract.kind == "perpetual" and rate:
        # longs pay when the rate is positive, in proportion to the time since the last multiple of the interval
        interval = contract.funding_interval_hours * 3600 * 10**9
        size = max(abs(value), least_worth(contract, held.quantity))
        paid = (size if held.quantity > 0 else -size) * rate
        funding = quotient(-paid * (prices.time_ns % interval), interval)
    return SimpleNamespace(
        key=key,
        symbol=symbol,
        settle=contract.settle,
        quantity=held.quantity,
        entry_value=held.entry_value,
        mark=mark,
        fresh=symbol in prices.marks and symbol not in prices.stale,
        leverage=leverage,
        open_interest=interest,
        unrealised=pnl(contract, held.entry_value, value),
        funding=funding,
        required=required(policy, symbol, held.quantity, held.entry_value, mark, leverage, interest),
    )


def order_margin(
    state: SimpleNamespace,
    held: list[SimpleNamespace],
    profits: dict[str, tuple[Fraction, Fraction]],
    prices: SimpleNamespace,
    policy: SimpleNamespace,
) -> tuple[list[Reserved], bool]:
    """What each market's open orders add, in account currency, and whether all prices that count are fresh."""

    def changed(asset: str, change: Fraction) -> Standing:
        wallet = state.balances.get(asset, Fraction(0)) + change
        counted = profits[asset][1] if asset in profits else Fraction(0)
        return standing(policy, state, asset, wallet, counted, prices)

    found, all_fresh = [], True
    for (symbol, key), orders in markets(policy, state).items():
        contract = policy.instruments[symbol]
        in_maintenance = policy.pool.orders_in_maintenance
        if contract.kind != "spot":
            gross = rules_of(policy, symbol).hedge_legs == "gross"
            more = contract_orders(
                policy,
                orders,
                [leg for leg in held if (leg.key if gross else leg.symbol) == key],
                lambda *entered, symbol=symbol: mark_of(symbol, *entered, prices, policy),
                state.leverage.get(symbol, policy.leverage_default),
                interest_in(symbol, prices),
            )
            unit = conversion(policy, contract.settle, prices)
            more = Reserved(more.initial * unit, more.maintenance * unit)
            fresh = symbol in prices.marks and symbol not in prices.stale
        elif policy.pool.spot_orders == "reserved":
            more = spot_reserved(contract, orders, changed)
            fresh = all(quote(policy, it, prices).fresh for it in (contract.base, contract.settle))
        else:
            price = quote(policy, contract.base, prices)
            more, in_maintenance = spot_filled(policy, contract, orders, changed, price), True
            fresh = price.fresh
        all_fresh = all_fresh and (fresh or not in_maintenance)
        each = len(orders) * policy.pool.order_requirement
        maintenance = more.maintenance if in_maintenance else Fraction(0)
        found.append(Reserved(more.initial + each, maintenance + each, more.collateral))
    return found, all_fresh
