"""Portfolio margin of OKX, Bybit and CME SPAN as portfolio rules of the engine. Derive: `derive.py`."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from engine.margin import exact_arithmetic
from engine.margin.collateral import borrow_margin
from engine.margin.portfolio import Exposure, PortfolioMargin, portfolio_margin
from engine.margin.portfolio.contingencies import scaled_charge
from engine.margin.portfolio.exposure import delta_of
from engine.margin.portfolio.risk_unit import requirement
from engine.margin.portfolio.scenarios import scanning_risk
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy import Asset, BorrowTier
from engine.policy.rules.asset_terms import asset_terms
from engine.policy.rules.portfolio_rules import (
    BasisRisk,
    ChargeTier,
    DeltaOneCharge,
    Grid,
    MinimumCharge,
    PortfolioRules,
    Rates,
    Scenario,
    SettleHedge,
    UnitRules,
)
from engine.policy.rules.portfolio_switches import ReferencePrice
from tests.conformance.build import contract, opened
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.account_totals import account_leverage
from tests.conformance.span_arrays import netted
from tests.support.unit_margins import charge, worst

OKX_SCENARIOS = ("mr1", "mr2", "mr6")
"""The parts of which only the largest counts."""


@adapter("portfolio margin: full position-builder response (BTC short perp + LTC long perp)")
def okx_position_builder(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """OKX: risk units of perpetuals, a borrowed stablecoin beside them."""
    price, coins = number(inputs.get("usdt_usd", 1)), inputs.get("sim_asset", {}).get("USDT", 0)
    contracts = [_okx_contract(position, inputs, price) for position in inputs["sim_pos"]]
    cash = _cash(coins, price)
    rules = _okx_rules(inputs, contracts)
    margin = portfolio_margin([*contracts, cash], rules)
    in_coin = portfolio_margin([*(_in_settle_asset(one) for one in contracts), _cash(coins, ONE)], rules)
    # equity below zero is owed
    owed = max(ZERO, -in_coin.value)
    borrow = Asset(
        borrow_tiers=(
            BorrowTier(
                floor=ZERO,
                initial_rate=number(inputs.get("borrow_imr", 0)),
                maintenance_rate=number(inputs.get("borrow_mmr", 0)),
            ),
        )
    )
    with exact():
        borrow_initial, borrow_maintenance = borrow_margin(asset_terms(borrow), owed, price, exact_arithmetic)
        answer: dict[str, Any] = {
            "derivMmr": margin.maintenance_margin,
            "borrowMmr": borrow_maintenance,
            "borrowImr": borrow_initial,
            "totalMmr": requirement(margin.maintenance_margin, [borrow_maintenance]),
            "totalImr": requirement(margin.initial_margin, [borrow_initial]),
            "eq": margin.value,
            "upl": portfolio_margin(contracts, rules).value,
            "acctLever": account_leverage(
                [delta_of(one, ReferencePrice.INDEX) for one in contracts], margin.value
            ),
        }
        for name in {one.underlying for one in contracts}:
            answer |= _okx_unit(name, [one for one in contracts if one.underlying == name], rules)
    return answer


@adapter("portfolio margin MR7 tiered scaling")
def okx_minimum_charge(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """OKX: the minimum charge scaled by tiers given as [upper end, multiplier]."""
    raw, other = number(inputs["mr7_raw"]), number(inputs["mr_other"])
    with exact():
        scaled = scaled_charge(raw, _charge_tiers(inputs["tiers"]), exact_arithmetic)
        return {
            "mr7_adj": scaled,
            "mmr_before": requirement(other, [], raw),
            "mmr_after": requirement(other, [], scaled),
        }


def _charge_tiers(rows: Sequence[Sequence[Any]]) -> tuple[ChargeTier, ...]:
    """Tiers given as [upper end, multiplier]; the last has no end."""
    floors = [ZERO, *(number(end) for end, _ in rows if end is not None)]
    return tuple(
        ChargeTier(floor=floor, multiplier=number(multiplier))
        for floor, (_, multiplier) in zip(floors, rows, strict=False)
    )


@adapter("portfolio margin MR9 (USDT-USDC-USD peg)")
def okx_peg(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """OKX: a long in one stablecoin that a short in another offsets, charged in tiers given as [upper end, rate]."""
    hedge = SettleHedge(first="USDT", second="USDC", rate=ONE, tiers=_charge_tiers(inputs["tiers"]))
    rules = PortfolioRules(units={"default": UnitRules(settle_hedges=(hedge,))})
    size = number(inputs["hedged_usd"])
    held = [
        Exposure(symbol=settle, underlying="unit", kind="linear", quantity=amount, mark=ONE, settle=settle)
        for settle, amount in (("USDT", size), ("USDC", size.copy_negate()))
    ]
    return {"mr9": portfolio_margin(held, rules).maintenance_margin}


@adapter("portfolio margin spot-perp hedge: aggregation before/after MR4 covers spot")
def okx_aggregation(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """OKX: max(max(MR1, MR2, MR6) + MR3 + MR4 + MR5, MR7) of parts that the case states, for it has no price."""

    def total(parts: Mapping[str, Any]) -> Decimal:
        losses = [number(parts[name]).copy_negate() for name in ("mr1_6", *OKX_SCENARIOS) if name in parts]
        others = [number(parts[name]) for name in ("mr3", "mr4", "mr5") if name in parts]
        return requirement(scanning_risk(losses), others, number(parts["mr7"]))

    with exact():
        return {"mmr_before": total(inputs["before"]), "mmr_after": total(inputs["after"])}


@adapter("portfolio margin IMR factor")
def okx_initial_factor(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """OKX: IMR = factor * MMR."""
    return {"imr": _initial_of(inputs["mmr"], inputs["factor"])}


@adapter("UTA portfolio margin: BTC risk unit")
def bybit_unit(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """Bybit: P&L of the parts in the worst scenario, contingencies, initial margin by a factor."""
    parts = [[number(value)] for key, value in inputs.items() if key.startswith("pnl_")]
    together = netted(parts, [ONE] * len(parts))
    with exact():
        contingency = requirement(
            ZERO, [number(value) for key, value in inputs.items() if key.endswith("Contingency")]
        )
        maintenance = requirement(scanning_risk(together), [contingency])
    published = inputs.get("assetMM", maintenance)
    return {
        "max_loss_all": together[0],
        "contingency": contingency,
        "assetMM": maintenance,
        "assetIM": _initial_of(published, inputs.get("im_factor", 1)),
    }


@adapter("UTA portfolio margin: MM = max loss + contingency (USD conversion left out)")
def bybit_maintenance(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """Bybit: MM = max loss + contingency."""
    with exact():
        return {"assetMM": requirement(abs(number(inputs["max_loss"])), [number(inputs["contingency"])])}


@adapter(
    "scanning risk, long 1 S&P future",
    "scanning risk, long 1 Dec 410 call",
    "scanning risk, long future + short call (netting by scenario)",
)
def span(inputs: Inputs, wanted: frozenset[str]) -> Answer:  # noqa: ARG001
    """SPAN: risk arrays of P&L, netted by scenario; the scanning risk is the largest loss."""
    arrays = {name: value for name, value in inputs.items() if isinstance(value, list)}
    together = netted(
        [[number(cell) for cell in cells] for cells in arrays.values()],
        [number(inputs.get(f"qty_{name}", 1)) for name in arrays],
    )
    return {"array": together, "span": scanning_risk(together)}


def _okx_contract(position: Mapping[str, Any], inputs: Inputs, conversion: Decimal) -> Exposure:
    base, settle = position["instId"].split("-")[:2]
    with exact():
        quantity = number(position["contracts"]) * number(position.get("ctVal", 1))
    mark = number(position["markPx"])
    # the case states the index as the unit's delta at it
    deltas = inputs.get("index_delta_usd", {})
    index = divide(divide(number(deltas[base]), abs(quantity)), conversion) if base in deltas else mark
    return Exposure(
        symbol=position["instId"],
        underlying=base,
        kind="linear",
        quantity=quantity,
        mark=mark,
        index=index,
        conversion=conversion,
        settle=settle,
        profit=_profit(quantity, mark, number(position.get("avgPx", mark))),
    )


def _profit(quantity: Decimal, mark: Decimal, entry: Decimal) -> Decimal:
    market = contract("linear")
    with exact():
        return market.profit(opened(quantity, entry, market).entry_value, market.value(quantity, mark))


def _in_settle_asset(exposure: Exposure) -> Exposure:
    return Exposure(
        symbol=exposure.symbol,
        underlying=exposure.underlying,
        kind=exposure.kind,
        quantity=exposure.quantity,
        mark=exposure.mark,
        profit=exposure.profit,
    )


def _okx_rules(inputs: Inputs, contracts: Sequence[Exposure]) -> PortfolioRules:
    units = {one.underlying: _okx_unit_rules(inputs, one.underlying) for one in contracts}
    return PortfolioRules(
        units={**units, "default": UnitRules()}, initial_factor=number(inputs["imr_factor"])
    )


def _okx_unit_rules(inputs: Inputs, base: str) -> UnitRules:
    spot, extreme, basis, minimum = (
        number(inputs.get(table, {}).get(base, 0))
        for table in ("mr1_shocks", "mr6_shocks", "mr4_rate", "mr7_rate")
    )
    weight = number(inputs.get("mr6_weight", 1))
    return UnitRules(
        grid=Grid(prices=(-spot, ZERO, spot), volatilities=("none",)),
        scenarios=tuple(Scenario(price=move, weight=weight) for move in (-extreme, extreme)),
        shock_on="index",
        basis=BasisRisk(move_min=basis),
        minimum=MinimumCharge(delta_one_rate=minimum),
    )


def _okx_unit(name: str, held: Sequence[Exposure], rules: PortfolioRules) -> dict[str, Decimal]:
    margin: PortfolioMargin = portfolio_margin(held, rules)
    unit, coin = margin.units[name], name.lower()
    grid, tail, basis = worst(unit, "grid"), worst(unit, "tail"), charge(unit, "basis")
    with exact():
        delta = sum((delta_of(one) for one in held), ZERO)
    return {
        f"delta_{coin}": delta,
        f"mr1_{coin}": ZERO if grid is None else grid.loss,
        f"mr6_{coin}": ZERO if tail is None else tail.loss,
        f"mr4_{coin}": ZERO if basis is None else basis.maintenance,
        f"mr7_{coin}": unit.minimum,
        f"mmr_{coin}": margin.maintenance_margin,
        f"imr_{coin}": margin.initial_margin,
    }


def _initial_of(maintenance: Any, factor: Any) -> Decimal:
    """IM of a portfolio that requires `maintenance`, by rules that only state a factor."""
    unit = UnitRules(delta_one=DeltaOneCharge(rate=Rates(maintenance=ONE)))
    rules = PortfolioRules(units={"default": unit}, initial_factor=number(factor))
    held = Exposure(
        symbol="unit", underlying="unit", kind="linear", quantity=number(maintenance), mark=ONE, index=ONE
    )
    return portfolio_margin([held], rules).initial_margin


def _cash(amount: Any, price: Decimal) -> Exposure:
    return Exposure(
        symbol="cash", underlying="cash", kind="cash", quantity=number(amount), mark=ONE, conversion=price
    )
