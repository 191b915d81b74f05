"""One market played under several deleveraging policies, and what each of them took from whom."""

from decimal import Decimal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from engine.liquidation.adl_score import AdlScore, adl_score
from streams.exchange.simulation import Simulation


class AdlRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Amounts in account currency."""

    policy: str
    """As it was asked for."""
    score: AdlScore
    fund_start: Decimal
    fund_low: Decimal
    fund_equity: Decimal
    conserved: bool
    """Whether balances + unrealised + fees + fund = deposits has held, exactly, at every step."""


class AdlComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All runs: the same accounts, the same course of the market, the same seed."""

    source: str
    seed: int
    accounts: int
    seconds: float
    currency: str
    rows: list[AdlRow]


def adl_row(name: str, simulation: Simulation) -> AdlRow:
    """What a market that has ended comes to."""
    tally = simulation.tally
    return AdlRow(
        policy=name,
        score=adl_score(tally.deleveraged_takeovers),
        fund_start=round(tally.fund_start, 2),
        fund_low=round(tally.fund_low, 2),
        fund_equity=round(tally.fund_equity, 2),
        conserved=all(not balance.difference for balance in simulation.balances.values()),
    )


def print_comparison(comparison: AdlComparison, console: Console) -> None:
    """One table for a person."""
    title = (
        f"deleveraging: {comparison.source}, {comparison.seconds:g} s, {comparison.accounts:,} accounts, "
        f"seed {comparison.seed}, in {comparison.currency}"
    )
    table = Table(box=box.SIMPLE, title=title, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("policy", min_width=15)
    for name in (
        "needed", "covered", "overshoot", "unpaid", "largest\nshare", "largest\nhaircut", "accounts",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison.rows:
        score = row.score
        table.add_row(
            # where there is no room for it, in lines
            row.policy.replace(":", " "),
            *(f"{it:,.0f}" for it in (score.needed, score.covered, score.overshoot, score.uncovered)),
            f"{score.largest_share:.1%}",
            f"{score.largest_haircut:.1%}",
            f"{score.accounts:,}",
        )
    console.print(table)
    broken = [row.policy for row in comparison.rows if not row.conserved]
    held = (
        f"BROKEN under {', '.join(broken)}"
        if broken
        else f"held exactly in each of {len(comparison.rows)} runs"
    )
    console.print(f"conservation {held}", style="bold red" if broken else "green")
