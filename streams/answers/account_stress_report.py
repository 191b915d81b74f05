"""What moves of the market, of one contract, or a day in history would do to an account. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from engine.analytics.pool_at import pools_of
from engine.analytics.stress import (
    GridCell,
    StressedPool,
    WorstCase,
    figures_now,
    profit_by_item,
    stress_grid,
    stressed,
    worst_case,
)
from engine.analytics.stress_scenario import StressScenario, left_out, scenario_prices
from engine.analytics.weighting import Weighting
from engine.events.pools import CROSS, pool_figures
from engine.ladder import Band
from engine.margin.margin_model import model_of
from engine.numbers import ZERO
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel
from engine.position_keys import symbol_of
from streams.answers.account_read import AccountReading
from streams.answers.account_report import why_degraded
from streams.answers.ladder_lines import lines_of

DEFAULT_MOVES = "-40..40/10"


DEFAULT_VOLATILITIES = "-30,50"


class ScenarioOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The account after a named scenario."""

    name: str
    about: str
    begins: datetime
    ends: datetime
    pools: tuple[StressedPool, ...]
    not_priced: tuple[str, ...]
    """Coins of the scenario that the policy does not price."""
    profit_by_item: dict[str, dict[str, Decimal]] | msgspec.UnsetType = msgspec.UNSET
    """By pool, the profit of each asset and position, where it was asked for."""


class StressReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    margin_model: MarginModel
    degraded_reasons: tuple[str, ...]
    """Why the figures cannot be trusted; empty where they can."""
    worst_case: WorstCase | None
    """The most leveraged contract moving alone; None without contracts."""
    lines: dict[Band, Decimal]
    """By the band that begins below it."""
    grids: dict[Weighting, tuple[GridCell, ...]]
    scenarios: tuple[ScenarioOutcome, ...]


def account_stress_report(
    read: AccountReading,
    moves: Sequence[Decimal],
    volatilities: Sequence[Decimal],
    scenarios: Collection[StressScenario],
    *,
    explain: bool,
) -> StressReport:
    """The account at every move, each with every change of volatility, and in every scenario."""
    state, prices, policy = read.state, read.prices, read.policy
    lines = lines_of(policy.ladder)
    figures = pool_figures(state, CROSS, prices, policy)
    shaken = volatilities if _holds_options(read) else (ZERO,)
    return StressReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        margin_model=model_of(state, policy),
        degraded_reasons=why_degraded(figures, state, CROSS, prices, policy),
        worst_case=worst_case(state, prices, policy, lines.values()),
        lines=lines,
        grids={it: stress_grid(state, prices, policy, moves, shaken, it) for it in Weighting},
        scenarios=tuple(_outcome(read, it, explain=explain) for it in scenarios),
    )


def _holds_options(read: AccountReading) -> bool:
    kinds = (read.policy.instruments[symbol_of(key)].kind for key in read.state.positions)
    return InstrumentKind.OPTION in kinds


def _outcome(read: AccountReading, scenario: StressScenario, *, explain: bool) -> ScenarioOutcome:
    state, prices, policy = read.state, read.prices, read.policy
    then = scenario_prices(scenario, prices, policy)
    return ScenarioOutcome(
        name=scenario.name,
        about=scenario.about,
        begins=scenario.begins,
        ends=scenario.ends,
        pools=stressed(state, figures_now(state, prices, policy), then, policy),
        not_priced=left_out(scenario, policy),
        profit_by_item={pool: profit_by_item(state, pool, prices, then, policy) for pool in pools_of(state)}
        if explain
        else msgspec.UNSET,
    )
