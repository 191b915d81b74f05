"""Portfolio margin over a box.

Losses of scenarios are sums and maxima of what positions lose, so they swing no further than those together.

Twin: `engine.margin.portfolio.risk_unit`, `engine.margin.portfolio.scenarios`,
`engine.margin.portfolio.correlation`, `engine.margin.portfolio.oracles`, `engine.margin.portfolio.portfolio_margin`,
`engine.margin.portfolio.portfolio_pool` and `engine.margin.portfolio.pool_exposures`. These keep every scenario and
charge with its inputs, for both margins; a box asks for one margin, and for each distinct scenario once.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.book.boxes import swing
from engine.book.boxes.charge_swings import Contract, contingencies, minimum_charge, settle_hedges
from engine.book.boxes.pool_swings import AssetSwing, PoolSwing, of_orders, pooled_assets, summed
from engine.book.boxes.position_swings import Held, cross_positions
from engine.book.boxes.series_swings import Series, discounts, value
from engine.book.boxes.swing import NOTHING, ONE, ROUNDED, Swing, UnboundedError
from engine.book.boxes.swing_view import View
from engine.ledger.accounts import AccountState
from engine.margin.contract_formulas import value_of
from engine.margin.options.black76 import SECONDS_PER_YEAR
from engine.margin.portfolio.scenarios import scenario_profit
from engine.policy import Instrument
from engine.policy.rules.policy_switches import InstrumentKind
from engine.policy.rules.portfolio_rules import PortfolioRules, Scenario, StablecoinPeg, UnitRules
from engine.policy.rules.portfolio_switches import (
    InverseConversion,
    PegOn,
    ReferencePrice,
    SkewMove,
    UnitTotal,
)

_OPTION, _AT_CURRENT, _ON_LOSS_FACTOR = InstrumentKind.OPTION, InverseConversion.CURRENT, PegOn.LOSS_FACTOR
_AT_INDEX, _NO_SKEW = ReferencePrice.INDEX, SkewMove.NONE
_LARGER_TOTAL = UnitTotal.LARGER

_NOW = Scenario()


class _Unit(NamedTuple):
    requirement: Swing
    price_risk: Swing
    rows: list[Swing]
    """P&L * loss factor of each row of the grid; empty where no correlation asks."""


def portfolio(state: AccountState, view: View) -> PoolSwing:
    """The shared pool under portfolio margin."""
    rules = view.policy.portfolio
    if rules is None:
        raise UnboundedError("no_portfolio_rules")
    held = cross_positions(state, view)
    assets = pooled_assets(state, held, view, options_count=True)
    if not held and all(amount >= 0 for amount in state.balances.values()):
        # coins that secure nothing require nothing
        return summed(assets, [of_orders(state, view.policy)])
    stable = view.index(rules.peg.asset)[0] if rules.peg is not None and rules.peg.asset else ONE
    paired = {name for pair in rules.correlations for name in (pair.first, pair.second)}
    units = {
        name: _unit(contracts, options, rules.unit(name), rules.peg, stable, paired=name in paired)
        for name, (contracts, options) in _exposures(held, assets, view).items()
    }
    required = swing.total(unit.requirement for unit in units.values()) - _credits(units, rules)
    rate = float(view.policy.pool.liquidation_fee_rate)
    fees = [it.notional.times(rate) * view.index(it.settle)[0] for it in held] if rate else []
    required = required.times(float(rules.maintenance_factor))
    return summed(assets, [required, *fees, of_orders(state, view.policy)])


_Exposures = dict[str, tuple[list[Contract], list[Series]]]


def _exposures(held: list[Held], assets: list[AssetSwing], view: View) -> _Exposures:
    found: _Exposures = {}
    for one in held:
        instrument = view.policy.instruments[one.symbol]
        contracts, options = found.setdefault(instrument.base, ([], []))
        if instrument.kind is _OPTION:
            options.append(_series(one, instrument, view))
        else:
            contracts.append(_contract(one, instrument, view))
    for asset in assets:
        if asset.asset in view.policy.underlyings and asset.amount.most:
            delta = asset.amount * asset.index
            coins = Contract("spot", delta, delta, "", "", (0.0, 0.0))
            found.setdefault(asset.asset, ([], []))[0].append(coins)
    return found


def _contract(one: Held, instrument: Instrument, view: View) -> Contract:
    per_settle, _ = view.index(one.settle)
    delta = index_delta = value_of(view.policy.terms[one.symbol], one.quantity, one.mark, swing) * per_settle
    if not instrument.inverse and (instrument.base in view.policy.assets or instrument.forward):
        underlying = view.underlying(instrument)
        if underlying.high > 0:
            size = float(one.quantity * instrument.multiplier)
            # quantity * (index / settle index, rounded) * settle index
            index_delta = underlying.times(size).loosened(abs(size) * ROUNDED * per_settle.most)
    return Contract(
        "inverse" if instrument.inverse else "linear",
        delta,
        index_delta,
        one.settle,
        str(instrument.expiry or ""),
        view.seconds_to(instrument),
    )


def _series(one: Held, instrument: Instrument, view: View) -> Series:
    right, strike = instrument.option_terms
    index = view.underlying(instrument)
    forward = view.symbol(instrument.forward)[0] if view.known(instrument.forward) else index
    if forward.low <= 0 or index.low <= 0 or strike <= 0:
        raise UnboundedError("price_of_zero")
    unit = view.policy.portfolio.unit(instrument.base) if view.policy.portfolio else UnitRules()
    if unit.options is not None:
        raise UnboundedError("options_one_by_one")
    rate = float(instrument.interest_rate)
    return Series(
        size=float(one.quantity * instrument.multiplier),
        call=right == "call",
        strike=float(strike),
        forward=forward,
        underlying=index,
        volatility=view.facts.band(one.symbol).volatility or (0.0, 0.0),
        seconds=view.seconds_to(instrument),
        rate=rate if unit.rate_min is None else max(rate, float(unit.rate_min)),
        own_rate=rate,
        expiry=str(instrument.expiry),
        settle=one.settle,
    )


def _unit(
    contracts: list[Contract],
    options: list[Series],
    rules: UnitRules,
    peg: StablecoinPeg | None,
    stable: Swing,
    *,
    paired: bool,
) -> _Unit:
    if rules.confidence is not None:
        raise UnboundedError("oracle_confidence")
    by_expiry: dict[str, list[Series]] = {}
    for one in options:
        by_expiry.setdefault(one.expiry, []).append(one)
    expiries = [_Expiry(held, rules) for held in by_expiry.values()]
    linear, coin = _deltas(contracts, rules)
    profits = _profits(linear, coin, expiries, rules)
    worst = swing.larger(NOTHING, *(-profit for profit in profits), _forward_loss(expiries, rules))
    factor = swing.fixed(float(rules.loss_factor.maintenance))
    if peg is not None and peg.on is _ON_LOSS_FACTOR:
        gap = swing.above_zero(swing.fixed(float(peg.threshold)) - stable)
        factor += gap.times(float(peg.rate.maintenance))
    elif peg is not None:
        raise UnboundedError("peg_on_shorts")
    price_risk = factor * worst
    interest = _interest_loss(expiries, rules)
    required = swing.total([price_risk, interest, *contingencies(contracts, options, rules)])
    if rules.minimum is not None:
        minimum = minimum_charge(contracts, options, rules.minimum)
        required = swing.larger(required, minimum) if rules.total is _LARGER_TOTAL else required + minimum
    rows = []
    if paired:
        rows = [factor * profits[place] for place in rules.rows]
    return _Unit(required + swing.total(settle_hedges(contracts, options, rules)), price_risk, rows)


def _deltas(contracts: list[Contract], rules: UnitRules) -> tuple[Swing, Swing]:
    """Deltas of linear contracts and coins, and of coin-settled contracts, as scenarios move them."""
    at_index = rules.shock_on is _AT_INDEX
    linear = (it.index_delta if at_index else it.delta for it in contracts if it.kind != "inverse")
    return swing.total(linear), swing.total(it.delta for it in contracts if it.kind == "inverse")


class _Expiry:
    """The options that expire together."""

    def __init__(self, held: list[Series], rules: UnitRules) -> None:
        self.held = held
        self._rules = rules
        self.value = self.moved(_NOW)
        self._long, self._short = discounts(held, rules)

    def moved(self, scenario: Scenario, rate_shift: float = 0.0) -> Swing:
        return swing.total(value(one, scenario, self._rules, rate_shift) for one in self.held)

    def change(self, scenario: Scenario) -> Swing:
        moved, long, short = self.moved(scenario), self._long, self._short
        if moved.low >= 0:
            return moved * long - self.value
        if moved.high <= 0:
            return moved * short - self.value
        # both factors meet at 0
        hull = Swing(min(long.low, short.low), max(long.high, short.high), 0.0, max(long.drift, short.drift))
        return moved * hull - self.value


def _profits(linear: Swing, coin: Swing, expiries: list[_Expiry], rules: UnitRules) -> list[Swing]:
    """P&L in each scenario of the rules, in their order."""
    if not expiries:
        unlike = [scenario_profit(scenario, linear, coin, (), rules, swing) for scenario in rules.unlike]
        return [unlike[place] for place in rules.alike]
    found: list[Swing] = []
    for scenario in rules.all_scenarios:
        if scenario.skew is not _NO_SKEW:
            raise UnboundedError("skew_scenarios")
        changes = [expiry.change(scenario) for expiry in expiries]
        found.append(scenario_profit(scenario, linear, coin, changes, rules, swing))
    return found


def _forward_loss(expiries: list[_Expiry], rules: UnitRules) -> Swing:
    shock, loss = rules.forward, NOTHING
    if shock is None:
        return loss
    for expiry in expiries:
        moves = [expiry.value - expiry.moved(Scenario(price=price)) for price in shock.prices]
        years = [it / SECONDS_PER_YEAR for one in expiry.held for it in one.seconds]
        factor = swing.fixed(float(shock.factor_base)) + swing.within(min(years), max(years)).times(
            float(shock.factor_per_year)
        )
        # worst move * (factor base + factor per year * years)
        loss += swing.larger(NOTHING, *moves) * factor.loosened(ROUNDED)
    return loss


def _interest_loss(expiries: list[_Expiry], rules: UnitRules) -> Swing:
    if rules.interest is None:
        return NOTHING
    shift = float(rules.interest.shift)
    losses = [swing.total(it.value - it.moved(_NOW, by) for it in expiries) for by in (shift, -shift)]
    return swing.larger(NOTHING, *losses)


def _credits(units: Mapping[str, _Unit], rules: PortfolioRules) -> Swing:
    remaining = {name: unit.price_risk for name, unit in units.items()}
    credit = NOTHING
    for pair in rules.correlations:
        if pair.first not in units or pair.second not in units:
            continue
        offset = _grid_offset(units[pair.first].rows, units[pair.second].rows)
        smallest = swing.smaller(remaining[pair.first], remaining[pair.second])
        # min(rate * offset, cap * smaller remaining price risk)
        found = swing.smaller(offset.times(float(pair.rate)), smallest.times(float(pair.cap)))
        remaining[pair.first] -= found
        remaining[pair.second] -= found
        credit += found
    return credit


def _grid_offset(first: Sequence[Swing], second: Sequence[Swing]) -> Swing:
    apart = _scanned(first) + _scanned(second)
    return apart - _scanned([one + other for one, other in zip(first, second, strict=True)])


def _scanned(profits: Sequence[Swing]) -> Swing:
    return swing.larger(NOTHING, *(-profit for profit in profits))
