"""How `unimargin policy check` shows a policy on a terminal."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from engine.policy import Policy
from engine.policy.rules.policy_switches import TiersBy
from streams.cli.policy.policy_rows import (
    beta_rows,
    borrow_rows,
    collateral_rows,
    size_rows,
    tier_rows,
    unit_rows,
)
from streams.cli.policy.policy_sample import SampleAccount
from streams.config.terminal import amount, band_text, table

NAMES_SHOWN = 3
RATE_PLACES = 6
RATIO_PLACES = 4


def renderables(policy: Policy, sample: SampleAccount) -> Iterator[RenderableType]:
    """Everything that is to be looked at before a policy is put in force."""
    if policy.tiers:
        yield _tiers(policy)
    if size_rows(policy):
        yield _sizes(policy)
    yield _collateral(policy)
    if borrow_rows(policy):
        yield _liabilities(policy)
    if unit_rows(policy):
        yield _units(policy)
    if beta_rows(policy):
        yield _betas(policy)
    yield from _sample(policy, sample)


def _tiers(policy: Policy) -> RenderableType:
    numbers = ["from", "IM rate", "MM rate", "deduction"]
    rows = table(
        "Risk tiers (notional in settle asset)", ["table", "instruments", *numbers, "at the edge"], numbers
    )
    for row in tier_rows(policy):
        first = not row.floor
        rows.add_row(
            row.table if first else "",
            _names(row.instruments) if first else "",
            amount(row.floor),
            amount(row.initial_rate, RATE_PLACES),
            amount(row.maintenance_rate, RATE_PLACES),
            amount(row.deduction),
            "" if first else f"jumps by {amount(row.jump)}" if row.jump else "continuous",
        )
    return rows


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN]) or "-"
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def _sizes(policy: Policy) -> RenderableType:
    numbers = ["IM rate", "MM rate", "and per unit held", "healthy in full use up to"]
    rows = table("Rates that grow with the position", ["instrument", *numbers], numbers)
    for row in size_rows(policy):
        rates = (row.initial_base_rate, row.maintenance_base_rate)
        rows.add_row(
            row.instrument,
            *(amount(rate, RATE_PLACES) for rate in rates),
            amount(row.slope_per_unit, RATE_PLACES + 2),
            "" if row.healthy_up_to is None else amount(row.healthy_up_to, 0),
        )
    return rows


def _collateral(policy: Policy) -> RenderableType:
    numbers = ["from", "ratio", "cap", "a liability counts"]
    rows = table("Collateral", ["asset", "index", *numbers, "counted in"], numbers)
    for row in collateral_rows(policy):
        first = not row.floor
        rows.add_row(
            row.asset if first else "",
            row.index or "-" if first else "",
            amount(row.floor),
            amount(row.ratio, RATE_PLACES),
            amount(row.cap) if first else "",
            f"{amount(row.liability_factor)} x" if first else "",
            row.asset if row.counted_by is TiersBy.AMOUNT else policy.account_currency,
        )
    return rows


def _liabilities(policy: Policy) -> RenderableType:
    numbers = ["from", "IM rate", "MM rate"]
    rows = table("What owing an asset requires (coins)", ["asset", *numbers], numbers)
    for row in borrow_rows(policy):
        rows.add_row(
            row.asset if not row.floor else "",
            amount(row.floor),
            amount(row.initial_rate, RATE_PLACES),
            amount(row.maintenance_rate, RATE_PLACES),
        )
    return rows


def _units(policy: Policy) -> RenderableType:
    numbers = ["price moves", "tails", "volatility"]
    rows = table(
        "Risk units of portfolio margin", ["underlying", *numbers, "besides the worst loss"], numbers
    )
    for row in unit_rows(policy):
        rows.add_row(
            row.underlying,
            _range(row.prices),
            _range(row.tails),
            f"+{_percent(row.volatility_up)} -{_percent(row.volatility_down)}",
            ", ".join(row.charges).replace("_", " ") or "-",
        )
    return rows


def _range(moves: Sequence[Decimal]) -> str:
    return f"{len(moves)} from {_percent(min(moves))} to {_percent(max(moves))}" if moves else "-"


def _percent(fraction: Decimal) -> str:
    return f"{amount(fraction * 100)} %"


def _betas(policy: Policy) -> Text:
    betas = ", ".join(f"{row.underlying} {amount(row.beta)}" for row in beta_rows(policy))
    return Text(f"Betas against the market, for questions only: {betas}", style="dim")


def _sample(policy: Policy, sample: SampleAccount) -> Iterator[RenderableType]:
    numbers = ["quantity", "mark", "notional", "IM", "MM", "liquidation price"]
    rows = table(
        "A sample account at sample prices: positions, each by itself in its settle asset",
        ["symbol", *numbers, "settle"],
        numbers,
    )
    for it in sample.positions:
        figures = (
            it.quantity,
            it.mark,
            it.notional,
            it.initial_margin,
            it.maintenance_margin,
            it.liquidation_price,
        )
        rows.add_row(it.symbol, *map(amount, figures), it.settle)
    yield rows
    deposits = ", ".join(f"{amount(coins)} {asset}" for asset, coins in sample.deposits.items())
    rows = table(
        f"Its pool in {policy.account_currency}, {sample.model} margin; deposits {deposits}",
        ["", "value"],
        ["value"],
    )
    for label, value in (
        ("equity", sample.equity),
        ("collateral value", sample.collateral_value),
        ("initial margin", sample.initial_margin),
        ("maintenance margin", sample.maintenance_margin),
        ("liquidation fee", sample.liquidation_fee),
    ):
        rows.add_row(label, amount(value))
    rows.add_row("ratio (collateral / MM)", amount(sample.ratio, RATIO_PLACES))
    rows.add_row(f"shown as {policy.ratio.direction.replace('_', ' ')}", amount(sample.shown_ratio))
    rows.add_row("ratio to IM", amount(sample.initial_ratio, RATIO_PLACES))
    rows.add_row("band", band_text(sample.band))
    rows.add_row("lines", _lines(policy))
    yield rows


def _lines(policy: Policy) -> Text:
    ladder = policy.ladder
    lines = (ladder.warning, ladder.margin_call, ladder.reduce_only, ladder.liquidation)
    return Text(" > ".join(amount(line, RATIO_PLACES) for line in lines), style="dim")
