"""`unimargin account funding`: what an account pays in funding, and how long it can before it crosses a line."""

from decimal import Decimal

import msgspec
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.funding_drain import funding_drain
from engine.events.pools import CROSS, pool_figures
from engine.ladder import Band, band_at
from engine.margin.isolated_pool import open_isolated
from engine.numbers import canonical, divide
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import leg_of, symbol_of
from streams.answers.account_read import AccountReading, read_account
from streams.answers.account_report import why_degraded
from streams.answers.ladder_lines import lines_of
from streams.config.invocation import AccountArgument, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import load_settings
from streams.config.terminal import amount, band_text, present, printable, table

_HOUR_PLACES = 1
_RATIO_PLACES = 4
_HOURS_PER_DAY = 24


class FundingView(msgspec.Struct, frozen=True, kw_only=True):
    """What one position of the shared pool pays (< 0) or receives; amounts in account currency."""

    key: str
    symbol: str
    leg: str | None
    rate: Decimal
    """Of the running interval."""
    interval_hours: Decimal
    payment: Decimal
    """Per interval."""
    payment_per_hour: Decimal


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ladder and the time to it."""

    line: Decimal
    """As a portfolio margin ratio."""
    hours: Decimal | None
    """At these rates, prices held; 0 where it is crossed already, None where it is never reached."""


class FundingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Funding of the shared pool at the current rates; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    band_at_figures: Band
    ratio: Decimal | None
    degraded_reasons: tuple[str, ...]
    """Why the figures cannot be trusted; empty where they can."""
    positions: tuple[FundingView, ...]
    without_rate: tuple[str, ...]
    """Keys of perpetual positions whose mark carries no funding rate: they count as paying nothing."""
    drain_per_hour: Decimal
    """Collateral value lost per hour; < 0 when funding is received."""
    lines: dict[str, LineView]
    """By the band that begins below the line."""
    isolated: tuple[str, ...]
    """Keys of open isolated positions: they pay from their own margin and are not counted."""


@tell_mistakes
def funding(
    account: AccountArgument,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Say what the shared pool pays in funding, and how long until it crosses each line of the ladder.

    Prices, positions and funding rates are held as they are now.

    Examples:
      unimargin account funding alice
    """
    report = _report(run(read_account(load_settings(config), account)))
    present(report, _renderables, as_json=as_json)


def _report(read: AccountReading) -> FundingReport:
    state, prices, policy = read.state, read.prices, read.policy
    figures = pool_figures(state, CROSS, prices, policy)
    lines = lines_of(policy.ladder)
    drain = funding_drain(state, prices, policy, tuple(lines.values()))
    hours = {line: None if it is None else canonical(it) for line, it in drain.hours_to_line}
    return FundingReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        band_at_figures=band_at(figures, policy.ladder),
        ratio=figures.ratio,
        degraded_reasons=why_degraded(figures, state, CROSS, prices, policy),
        positions=tuple(
            FundingView(
                key=it.key,
                symbol=symbol_of(it.key),
                leg=leg_of(it.key),
                rate=prices.marks[symbol_of(it.key)].funding_rate or Decimal(0),
                interval_hours=it.interval_hours,
                payment=it.payment,
                payment_per_hour=canonical(divide(it.payment, it.interval_hours)),
            )
            for it in sorted(drain.positions, key=lambda it: it.key)
        ),
        without_rate=_without_rate(read),
        drain_per_hour=drain.drain_per_hour,
        lines={band: LineView(line=line, hours=hours[line]) for band, line in lines.items()},
        isolated=tuple(sorted(open_isolated(state))),
    )


def _without_rate(read: AccountReading) -> tuple[str, ...]:
    def known(symbol: str) -> bool:
        mark = read.prices.marks.get(symbol)
        return mark is not None and mark.funding_rate is not None

    return tuple(
        key
        for key in sorted(read.state.positions)
        if read.policy.instruments[symbol_of(key)].kind is InstrumentKind.PERPETUAL
        and not known(symbol_of(key))
    )


def _renderables(report: FundingReport) -> list[RenderableType]:
    parts = [_positions(report), _times(report)]
    if report.without_rate:
        names = ", ".join(report.without_rate)
        parts.append(Text(f"no funding rate known, counted as paying nothing: {names}", style="yellow"))
    if report.isolated:
        names = ", ".join(report.isolated)
        parts.append(Text(f"isolated, paying from their own margin, not counted: {names}", style="dim"))
    if report.degraded_reasons:
        parts.append(Text(f"degraded: {'; '.join(report.degraded_reasons)}", style="yellow"))
    return parts


def _positions(report: FundingReport) -> RenderableType:
    numbers = ["rate", "interval", "payment", "per hour"]
    rows = table(
        f"Funding of {printable(report.account)} in {report.currency} (paid < 0 < received)",
        ["position", *numbers],
        numbers,
    )
    for it in report.positions:
        rows.add_row(it.key, f"{amount(it.rate * 100)} %", f"{amount(it.interval_hours)} h", *_signed(it))
    rows.add_section()
    rows.add_row("drain of the collateral value", "", "", "", amount(report.drain_per_hour), style="bold")
    return rows


def _signed(it: FundingView) -> tuple[Text, Text]:
    style = "red" if it.payment < 0 else ""
    return Text(amount(it.payment), style=style), Text(amount(it.payment_per_hour), style=style)


def _times(report: FundingReport) -> RenderableType:
    rows = table(
        f"Time to each line (ratio now {amount(report.ratio, _RATIO_PLACES)})",
        ["below the line", "ratio", "hours", ""],
        ["ratio", "hours"],
    )
    for band, it in report.lines.items():
        rows.add_row(band_text(Band(band)), amount(it.line, _RATIO_PLACES), *_time(it.hours))
    return rows


def _time(hours: Decimal | None) -> tuple[str, str]:
    if hours is None:
        return "-", "never"
    if not hours:
        return "0", "crossed already"
    days = hours / _HOURS_PER_DAY
    return amount(hours, _HOUR_PLACES), f"{amount(days, _HOUR_PLACES)} days" if days >= 1 else ""
