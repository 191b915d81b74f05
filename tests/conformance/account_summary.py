"""What venues show of an account besides its ratio: rows by currency, and the parts that its totals are made of."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.inputs import Deposit, Withdrawal
from engine.ledger.accounts import AccountState
from engine.margin import exact_arithmetic
from engine.margin.collateral import borrow_margin
from engine.margin.figures import Figures
from engine.margin.margin_model import shared_figures
from engine.numbers import ONE, ZERO, exact
from engine.policy import Asset, BorrowTier, MarginRules, Policy
from engine.policy.rules.asset_terms import asset_terms
from tests.conformance.build import (
    QUOTE,
    at_marks,
    booked,
    contract,
    contracts_policy,
    deposit,
    index_symbol,
    opened,
    paid_for,
    rate_tier,
    signed,
    weighted_asset,
    withdrawal,
)
from tests.conformance.position import SYMBOL, margin_at, single
from tests.conformance.registry import Answer, Inputs, adapter, number
from tests.conformance.rules.account_totals import AccountTotals, figures_in, totals_figures


@adapter("Portfolio Margin (Pro): uPnL, equity and loan MM components")
def portfolio_components(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Profits of USD-M contracts; of each coin what is owned less what is owed, and what the loan requires, in coins.

    The loan's margin is asked of the formula alone: an account of the product holds one balance of a coin, so a loan
    beside a larger holding of the same coin nets, and requires nothing.
    """
    answer: dict[str, Any] = {}
    for held in inputs["um"]:
        policy = single(MarginRules(initial="leverage"), mmr=held["mmr"])
        quantity = signed(held["qty"], held["side"])
        position = opened(quantity, held["entry"], policy.instruments[SYMBOL])
        name = "perp" if str(held["symbol"]).endswith("_PERP") else "fut"
        answer[f"upnl_{name}"] = margin_at(policy, position, held["mark"]).unrealised_pnl
    coins: Mapping[str, Mapping[str, Any]] = inputs["margin"]
    account = Policy(
        name="case", account_currency=QUOTE, assets=dict.fromkeys(coins, Asset()), instruments={}
    )
    entries = [entry for name, row in coins.items() for entry in _entries(name, row)]
    state = booked(AccountState("case"), account, entries)
    rate = number(inputs["loan_mmr"])
    terms = asset_terms(
        Asset(borrow_tiers=(BorrowTier(floor=ZERO, initial_rate=rate, maintenance_rate=rate),))
    )
    for name, row in coins.items():
        with exact():
            _, maintenance = borrow_margin(terms, number(row["loan"]), ONE, exact_arithmetic)
        answer |= {f"eq_{name.lower()}": state.balances[name], f"loan_mm_{name.lower()}": maintenance}
    return answer


def _entries(name: str, row: Mapping[str, Any]) -> tuple[Deposit, Withdrawal]:
    return deposit(name, number(row["asset"])), withdrawal(name, number(row["loan"]))


@adapter("cross portfolio margin (X:PM) account summary")
def whole_account_by_currency(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """Each currency shows the whole account at its index; without an index, what its own row says."""
    total = AccountTotals(
        balance=number(inputs["total_margin_balance_usd"]),
        initial_margin=number(inputs["total_initial_margin_usd"]),
        maintenance_margin=number(inputs["total_maintenance_margin_usd"]),
    )
    rows: Mapping[str, Mapping[str, Any]] = inputs["rows"]
    indices = {name: inputs.get(f"index_{name.lower()}") for name in rows}
    assets = {name: weighted_asset(name) for name in rows}
    policy = Policy(name="case", account_currency=QUOTE, assets={QUOTE: Asset(), **assets}, instruments={})
    prices = at_marks({index_symbol(name): index for name, index in indices.items() if index is not None})
    answer: dict[str, Decimal] = {}
    for name, row in rows.items():
        figures = (
            _row_figures(row)
            if indices[name] is None
            else figures_in(name, totals_figures(total), prices, policy)
        )
        answer |= {
            f"{name.lower()}_margin_balance": figures.collateral_value,
            f"{name.lower()}_initial_margin": figures.initial_margin,
            f"{name.lower()}_maintenance_margin": figures.maintenance_margin,
            f"{name.lower()}_available": figures.available_margin,
        }
    return answer


def _row_figures(row: Mapping[str, Any]) -> Figures:
    return totals_figures(
        AccountTotals(balance=number(row["margin_balance"]), initial_margin=number(row["initial_margin"]))
    )


@adapter("cross margin summary identity")
def cross_summary(inputs: Inputs, _wanted: frozenset[str]) -> Answer:
    """One long whose cost has left the balance (`totalRawUsd` < 0): its value and the balance are the account's value."""
    policy = contracts_policy(
        {SYMBOL: contract(SYMBOL)}, {SYMBOL: rate_tier(0)}, MarginRules(initial="leverage")
    )
    state = AccountState(
        account="case",
        balances={QUOTE: number(inputs["totalRawUsd"])},
        positions={SYMBOL: paid_for(ONE)},
        leverage={SYMBOL: number(inputs["leverage"])},
    )
    figures = shared_figures(state, at_marks({SYMBOL: inputs["totalNtlPos"]}), policy)
    return {
        "accountValue": figures.equity,
        "totalMarginUsed": figures.initial_margin,
        "withdrawable": figures.available_margin,
    }
