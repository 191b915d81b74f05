"""`unimargin simulate-portfolio`: a portfolio from a file, judged as if somebody held it."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.analytics.concentration import Concentration, concentration, open_interest_said
from engine.analytics.hypothetical import (
    Hypothetical,
    HypotheticalError,
    account_of,
    check_hypothetical,
    parse_hypothetical,
    prices_of,
)
from engine.analytics.line_move import LineMove
from engine.analytics.model_requirements import PolicyFigures, policy_figures
from engine.analytics.risk_matrix import RiskMatrix, risk_matrix
from engine.analytics.weighting import Weighting
from engine.events.dependencies import price_symbols_of
from engine.events.pools import CROSS
from engine.inputs import Mark
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.margin.figures import Line
from engine.margin.margin_model import explain_shared, model_of
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from streams.cli.account.account_moves import market_moves
from streams.cli.account.account_report import believed
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import present
from streams.store.redis_access import open_redis, saved_marks, shard_count
from streams.store.store_reader import StoreReader


class PortfolioReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows; amounts in account currency."""

    name: str
    margin_model: MarginModel
    prices: dict[str, str]
    """Where each price comes from: "file" or "saved"."""
    missing_prices: tuple[str, ...]
    figures: PolicyFigures
    matrix: RiskMatrix | None
    """None where the policy has no portfolio margin."""
    concentration: Concentration
    market_moves: dict[Band, LineMove]
    beta_moves: dict[Band, LineMove]
    lines: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    """The summands of the figures, where they were asked for."""


@tell_mistakes
def simulate_portfolio(
    file: Annotated[
        Path,
        typer.Argument(
            help="TOML or JSON: balances, positions, orders, leverage, prices, volatilities, margin_model.",
            show_default=False,
        ),
    ],
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")] = None,
    explain: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--explain", help="Also the lines that sum to each figure.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Judge a portfolio from a file: every margin model, every scenario, deltas, and how far the market may move.

    No account is needed. Prices that the file does not give are those that the workers saved last.
    """
    # here, because the tables need rich, and a mistake should not wait for it
    from streams.cli.portfolio.portfolio_tables import renderables  # noqa: PLC0415

    settings = load_settings(config)
    rules = load_policy(policy or settings.policy_file)
    try:
        asked = parse_hypothetical(_text(file))
        check_hypothetical(asked, rules)
        prices = prices_of(asked, _at_hand(settings, asked, rules))
        state = account_of(asked, prices, rules)
    except HypotheticalError as error:
        raise SettingsError(f"portfolio file {file}: {error}") from None
    report = _report(asked, state, prices, rules, explain=explain)
    present(report, renderables, as_json=as_json)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"portfolio file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"portfolio file {file}: not UTF-8 text") from None


def _at_hand(settings: Settings, asked: Hypothetical, policy: Policy) -> Prices:
    """The saved prices; Redis is only asked where the file leaves something open, and may then be away no more."""
    now_ns = time.time_ns()
    own = [Mark(symbol, price, sequence=0, time_ns=now_ns) for symbol, price in asked.prices.items()]
    with_own = believed(own, policy, now_ns)
    needed = _needed(account_of(asked, with_own, policy), policy) if _is_priced(asked) else {"more"}
    if needed <= asked.prices.keys():
        return with_own
    return believed(run(_saved(settings)), policy, now_ns)


def _is_priced(asked: Hypothetical) -> bool:
    """Whether every position has an entry price or a price of its own."""
    return all(it.entry_price is not None or key in asked.prices for key, it in asked.positions.items())


def _needed(state: AccountState, policy: Policy) -> set[str]:
    return set(price_symbols_of(state, CROSS, policy))


async def _saved(settings: Settings) -> list[Mark]:
    newest: dict[str, Mark] = {}
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        for shard in range(await shard_count(client, settings.redis_prefix)):
            for mark in await saved_marks(store, shard):
                if mark.symbol not in newest or mark.sequence > newest[mark.symbol].sequence:
                    newest[mark.symbol] = mark
    if not newest:
        raise Problem("no worker has saved a price yet, and the file does not give all that are needed")
    return list(newest.values())


def _report(
    asked: Hypothetical, state: AccountState, prices: Prices, policy: Policy, *, explain: bool
) -> PortfolioReport:
    needed = sorted(_needed(state, policy))
    return PortfolioReport(
        name=asked.name,
        margin_model=model_of(state, policy),
        prices={
            symbol: "file" if symbol in asked.prices else "saved"
            for symbol in needed
            if symbol in prices.marks
        },
        missing_prices=tuple(symbol for symbol in needed if symbol not in prices.marks),
        figures=policy_figures(state, prices, policy),
        matrix=risk_matrix(state, prices, policy),
        concentration=concentration(state, prices, policy, open_interest_said(prices)),
        market_moves=market_moves(state, prices, policy, Weighting.UNIFORM),
        beta_moves=market_moves(state, prices, policy, Weighting.BETA),
        lines=explain_shared(state, prices, policy).lines if explain else msgspec.UNSET,
    )
