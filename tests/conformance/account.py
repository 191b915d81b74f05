"""Whole accounts: equity, requirement, ratio, what is available."""

from collections.abc import Mapping
from typing import Any

from engine.analytics.display import shown_initial_ratio, shown_ratio
from engine.ledger.accounts import AccountState, Position
from engine.margin import exact_arithmetic
from engine.margin.collateral import collateral_value
from engine.margin.figures import Figures
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import requirement_price
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, Instrument, MarginRules, Policy, PoolRules, RatioDisplay
from tests.conformance.build import (
    QUOTE,
    at_marks,
    buffered_asset,
    contract,
    contracts_policy,
    first,
    in_liquidation,
    linear_policy,
    opened,
    paid_for,
    rate_tier,
    signed,
)
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.account_totals import AccountTotals, figures_in, totals_figures, withdrawable

RISK_SHOWN = RatioDisplay(direction="maintenance_over_collateral")
RISK_SHOWN_TRUNCATED = RatioDisplay(direction="maintenance_over_collateral", digits=4, rounding="down")


# --- Binance


@adapter("USD-M Multi-Assets: no positions", "USD-M Multi-Assets: two positions, no PnL")
def multi_assets(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Collateral at the bid rate, liabilities and requirements at the ask rate of each asset."""
    rates = {_asset_of(pair): rate for pair, rate in inputs["rates"].items()}
    held = {str(one["symbol"]): one for one in inputs.get("positions", ())}
    policy = _multi_assets_policy(rates, held)
    prices = at_marks(
        {_index(asset): rate["index"] for asset, rate in rates.items()}
        | {symbol: first(one, "mark", "mark_price", "entry") for symbol, one in held.items()}
    )
    state = AccountState(
        account="case",
        balances={asset: number(amount) for asset, amount in inputs["wallet"].items()},
        positions={
            symbol: opened(
                signed(one["qty"], one.get("side")),
                first(one, "entry", "mark"),
                policy.instruments[symbol],
            )
            for symbol, one in held.items()
        },
        leverage={symbol: number(one["leverage"]) for symbol, one in held.items() if "leverage" in one},
    )
    figures = shared_figures(state, prices, policy)
    asset = next(iter(rates))
    shown = shown_ratio(figures, RISK_SHOWN)
    with exact():
        bid = {
            name: collateral_value(
                policy.asset_terms[name],
                ONE,
                number(rate["index"]),
                number(rate["index"]),
                exact_arithmetic,
                pledged=True,
            )
            for name, rate in rates.items()
        }
        ask = {name: requirement_price(policy, name, prices) for name in rates}
    return {
        "account_equity": figures.collateral_value,
        "account_initial_margin": figures.initial_margin,
        "account_maint_margin": figures.maintenance_margin,
        "uni_available": figures.available_margin,
        # the venue writes 0 where nothing is required
        "margin_ratio": ZERO if shown is None else shown,
        "bid_rate": bid[asset],
        "ask_rate": ask[asset],
        **{f"{name.lower()}_bid_rate": rate for name, rate in bid.items()},
        **{f"{name.lower()}_ask_rate": rate for name, rate in ask.items()},
        **{
            f"{name.lower()}_available": figures_in(name, figures, prices, policy).available_margin
            for name in rates
        },
    }


def _multi_assets_policy(
    rates: Mapping[str, Mapping[str, Any]], held: Mapping[str, Mapping[str, Any]]
) -> Policy:
    return Policy(
        name="case",
        account_currency=QUOTE,
        assets={QUOTE: Asset()}
        | {
            asset: buffered_asset(
                _index(asset), number(rate.get("bid_buffer", 0)), number(rate.get("ask_buffer", 0))
            )
            for asset, rate in rates.items()
        },
        instruments={
            symbol: Instrument(
                kind="perpetual",
                base=symbol,
                settle=_settle(symbol, one, rates),
                tiers=symbol,
                margin="tier" if "imr" in one else "leverage",
            )
            for symbol, one in held.items()
        },
        tiers={
            symbol: rate_tier(first(one, "mmr", "mm") or 0, first(one, "cum", "maint_amt"), one.get("imr", 0))
            for symbol, one in held.items()
        },
        margin={"tier": MarginRules(initial="tier"), "leverage": MarginRules(initial="leverage")},
        pool=PoolRules(requirement_rate="liability"),
    )


def _asset_of(pair: str) -> str:
    return pair.removesuffix("USD") or pair


def _index(asset: str) -> str:
    return f"{asset}-index"


def _settle(symbol: str, one: Mapping[str, Any], assets: Mapping[str, Any]) -> str:
    named = first(one, "settle", "margin_asset", "quote")
    return str(named or max((it for it in assets if symbol.endswith(it)), key=len))


@adapter("Portfolio Margin account endpoint")
def portfolio_account(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """The venue's own totals; the account equity is after haircut."""
    figures = _totals(
        inputs["accountEquity"], inputs.get("accountInitialMargin", 0), inputs.get("accountMaintMargin", 0)
    )
    return {"uniMMR": figures.ratio, "totalAvailableBalance": figures.available_margin}


# --- Bybit


@adapter("UTA portfolio margin: account rates")
def account_rates(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Requirements over equity: under portfolio margin the rates do not use the margin balance."""
    figures = _totals(inputs["equity"], inputs.get("accountIM", 0), inputs.get("accountMM", 0))
    return {
        "accountMMRate": shown_ratio(figures, RISK_SHOWN_TRUNCATED),
        "accountIMRate": shown_initial_ratio(figures, RISK_SHOWN_TRUNCATED),
        "availableBalance": figures.available_margin,
    }


@adapter("UTA coin equity with spot borrow")
def coin_equity(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Equity of one coin."""
    figures = totals_figures(
        AccountTotals(
            balance=number(inputs["walletBalance"]),
            borrowed=number(first(inputs, "spotBorrow", "borrowAmount") or 0),
            interest=number(inputs.get("accruedInterest", 0)),
            unrealised_pnl=number(inputs.get("unrealisedPnl", 0)),
            option_value=number(inputs.get("optionValue", 0)),
        )
    )
    return {"equity": figures.equity}


# --- Deribit, Orderly


@adapter("segregated standard margin account summary", "segregated standard margin with spot reserve")
def account_summary(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One currency's summary; the spot reserve is part of the initial margin already."""
    totals = AccountTotals(
        balance=number(inputs["balance"]),
        realised_pnl=number(first(inputs, "futures_session_rpl", "session_rpl") or 0),
        unrealised_pnl=number(first(inputs, "futures_session_upl", "session_upl") or 0),
        option_value=number(inputs.get("options_value", 0)),
        initial_margin=number(inputs.get("initial_margin", 0)),
        maintenance_margin=number(inputs.get("maintenance_margin", 0)),
    )
    figures = totals_figures(totals)
    return {
        "equity": figures.equity,
        "margin_balance": figures.collateral_value,
        "available_funds": figures.available_margin,
        "available_withdrawal_funds": withdrawable(figures, totals.unsettled_profit),
    }


@adapter("free collateral, losing account")
def free_collateral(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Total and free collateral."""
    totals = AccountTotals(
        balance=number(inputs["total_balance"]),
        unrealised_pnl=number(first(inputs, "unsettled_pnl", "unrealized_pnl") or 0),
        initial_margin=number(first(inputs, "initial_used", "maintenance_used", "margin_used") or 0),
    )
    figures = totals_figures(totals)
    return {
        "total_collateral": figures.collateral_value,
        "free_collateral": figures.available_margin,
        "withdrawable": withdrawable(figures, totals.unsettled_profit),
    }


# --- peers


@adapter("dydx_account")
def dydx_account(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Positions whose cost is in the quote balance."""
    held = {str(place): one for place, one in enumerate(inputs.get("positions", ()))}
    policy = contracts_policy(
        {key: contract(key) for key in held},
        {key: rate_tier(one["mm"], initial=one.get("im", 1)) for key, one in held.items()},
        MarginRules(initial="tier"),
    )
    state = AccountState(
        account="case",
        balances={QUOTE: number(inputs.get("quote", 0))},
        positions={key: paid_for(one["size"]) for key, one in held.items() if number(one["size"])},
    )
    figures = shared_figures(state, at_marks({key: one["price"] for key, one in held.items()}), policy)
    return {
        "nc": figures.equity,
        "imr": figures.initial_margin,
        "mmr": figures.maintenance_margin,
        # an account without a requirement is not liquidated, whatever it owes
        "liquidatable": figures.requirement > 0 and in_liquidation(figures, policy),
    }


@adapter("drift_equity")
def drift_equity(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """A quote balance and perpetuals that carry their own quote entry amounts."""
    held = {str(place): one for place, one in enumerate(inputs.get("perps", ()))}
    policy = linear_policy(dict.fromkeys(held, 0), MarginRules())
    state = AccountState(
        account="case",
        balances={QUOTE: number(first(inputs, "quote", "deposit") or 0)},
        # the quote entry amount is what the position cost, with the sign of the cash
        positions={
            key: Position(number(one.get("base", 0)), number(one.get("quote", 0)).copy_negate())
            for key, one in held.items()
        },
    )
    figures = shared_figures(state, at_marks({key: one["oracle"] for key, one in held.items()}), policy)
    return {"equity": figures.equity}


def _totals(equity: Any, initial: Any, maintenance: Any) -> Figures:
    return Figures(number(equity), number(equity), number(initial), number(maintenance), degraded=False)
