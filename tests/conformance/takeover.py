"""Liquidation on a mark: who is taken over, which leg closes first, who bears the deficit."""

from collections.abc import Mapping
from typing import Any

from engine.ledger.accounts import AccountState
from engine.liquidation.adl import AdlCandidate, ranked
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, Instrument, MarginRules, Policy
from engine.policy.rules.policy_switches import AdlRanking
from tests.conformance.build import QUOTE, at_marks, first, in_liquidation, linear_policy, opened, tiers
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.closing_order import Leg, total_deficit, worst_leg_first
from tests.conformance.rules.liquidation_lines import reached
from tests.conformance.rules.profit_forgone import MoneyCover, money_cover

RANKINGS: dict[str, AdlRanking] = {
    "pnl_ratio": AdlRanking.PNL_RATIO,
    "position_size": AdlRanking.POSITION_SIZE,
    "binance": AdlRanking.LEVERAGE_WEIGHTED,
    "bybit": AdlRanking.LEVERAGE_WEIGHTED,
    "leverage": AdlRanking.LEVERAGE_WEIGHTED,
    "leverage_weighted": AdlRanking.LEVERAGE_WEIGHTED,
}


@adapter("flox_liquidation")
def flox_liquidation(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Isolated positions of one symbol on one mark; or one winner's settlement."""
    if "winner_upnl" in inputs:
        return _winner(inputs)
    policy = linear_policy(
        {"X": inputs.get("tiers", inputs.get("mm"))}, MarginRules(initial="leverage", tiering="flat")
    )
    prices = at_marks({"X": inputs["mark"]})
    liquidated, equities, others = [], [], []
    closed_sides = set()
    for held in inputs["positions"]:
        state = AccountState(
            account=str(held["account"]),
            balances={QUOTE: number(held["equity"])},
            positions={"X": opened(held["qty"], held["entry"], policy.instruments["X"])},
        )
        figures = shared_figures(state, prices, policy)
        if in_liquidation(figures, policy):
            liquidated.append(held["account"])
            equities.append(figures.equity)
            closed_sides.add(state.positions["X"].quantity > 0)
        else:
            others.append((held["account"], _candidate(state, prices, policy)))
    others.sort(key=lambda other: other[0])  # equal scores go by account
    opposite = [one for _, one in others if not closed_sides <= {one.quantity > 0}]
    ranking = _ranking(inputs)
    winners = [] if ranking is None else ranked(opposite, ranking)
    cover = money_cover(total_deficit(equities), number(inputs.get("fund", 0)), winners)
    names = {candidate.account: name for name, candidate in others}
    return {
        "liquidated": liquidated,
        "liquidations": len(liquidated),
        "liquidated_count": len(liquidated),
        **_cover_answer(cover, names),
    }


def _ranking(inputs: Inputs) -> AdlRanking | None:
    """How winners are ranked; None where the case switches the deleveraging off."""
    if not inputs.get("adl_enabled", True):
        return None
    named = inputs.get("adl", True)
    return AdlRanking.PNL_RATIO if named is True else RANKINGS.get(str(named).lower())


def _candidate(state: AccountState, prices: Prices, policy: Policy) -> AdlCandidate:
    with exact():
        (margin,), _ = cross_positions(state, prices, policy)
    return AdlCandidate(
        account=state.account,
        quantity=state.positions["X"].quantity,
        unrealised_pnl=margin.unrealised_pnl,
        notional=margin.notional,
        equity=state.balances.get(QUOTE, ZERO),
        entry_value=state.positions["X"].entry_value,
    )


def _cover_answer(cover: MoneyCover, names: Mapping[str, Any]) -> Answer:
    return {
        "deficit": cover.deficit,
        "adl": [names[cut.account] for cut in cover.cuts],
        "adl_count": len(cover.cuts),
        "adl_forgone": [cut.forgone for cut in cover.cuts],
        "fund_paid": cover.from_fund,
        "fund_after": cover.fund_after,
        "fund_balance": cover.fund_after,
        "fund_delta": cover.from_fund.copy_negate(),
        "uncovered": cover.uncovered,
    }


def _winner(inputs: Inputs) -> Answer:
    winner = AdlCandidate(
        account="winner",
        quantity=ONE,
        unrealised_pnl=number(inputs["winner_upnl"]),
        notional=ZERO,
        equity=number(inputs["winner_equity"]),
        entry_value=ZERO,
    )
    cover = money_cover(number(inputs["deficit"]), number(inputs.get("fund", 0)), [winner])
    cut = next(iter(cover.cuts), None)
    return {
        "winner_equity_after": winner.equity if cut is None else cut.equity_after,
        "forgone": ZERO if cut is None else cut.forgone,
        "uncovered": cover.uncovered,
    }


@adapter("flox_cross")
def flox_cross(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One pool over several symbols, and the leg that is closed first."""
    held = {str(position["symbol"]): position for position in inputs["positions"]}
    policy = linear_policy(
        {symbol: position.get("mm", inputs.get("mm")) for symbol, position in held.items()},
        MarginRules(initial="leverage", tiering="flat"),
    )
    prices = at_marks({symbol: position["mark"] for symbol, position in held.items()})
    positions = {
        symbol: opened(position["qty"], position["entry"], policy.instruments[symbol])
        for symbol, position in held.items()
    }
    state = AccountState("case", balances={QUOTE: number(inputs["equity"])}, positions=positions)
    figures = shared_figures(state, prices, policy)
    with exact():
        margins, _ = cross_positions(state, prices, policy)
    legs = worst_leg_first(Leg(margin.key, margin.unrealised_pnl, margin.notional) for margin in margins)
    return {
        "upnl": shared_figures(AccountState("case", positions=positions), prices, policy).equity,
        "equity": figures.equity,
        "mm_required": figures.maintenance_margin,
        "breach": in_liquidation(figures, policy),
        "close_first": legs[0].key if legs else None,
        "close_order": [leg.key for leg in legs],
    }


@adapter("inverse_liquidation")
def inverse_liquidation(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One inverse perpetual in its coin; margin on the entry notional over leverage."""
    policy = Policy(
        name="case",
        account_currency="BTC",
        assets={"BTC": Asset()},
        instruments={
            "X": Instrument(kind="perpetual", payoff="inverse", base="BTC", settle="BTC", tiers="X")
        },
        tiers={"X": tiers(inputs["mm"])},
        margin={
            "default": MarginRules(initial="leverage", maintenance="tier_over_leverage", notional="entry")
        },
    )
    prices = at_marks({"X": inputs["mark"]})
    positions = {"X": opened(inputs["contracts"], inputs["entry"], policy.instruments["X"])}
    leverage = {"X": number(inputs.get("leverage", 1))}
    balances = {"BTC": number(first(inputs, "balance_btc", "balance") or 0)}
    state = AccountState("case", balances=balances, positions=positions, leverage=leverage)
    figures = shared_figures(state, prices, policy)
    alone = AccountState("case", positions=positions, leverage=leverage)
    return {
        "pnl_btc": shared_figures(alone, prices, policy).equity,
        "equity_btc": figures.equity,
        "mm_btc": figures.maintenance_margin,
        "breach": reached(
            figures.equity,
            figures.maintenance_margin,
            number(inputs.get("trigger_ratio", 1)),
            "at_or_below",
        ),
    }
