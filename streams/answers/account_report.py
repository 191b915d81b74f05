"""What `unimargin account` says about an account, computed from its stored state and the saved marks. Pure."""

import shlex
from decimal import Decimal

import msgspec

from engine.analytics.display import shown_initial_ratio, shown_ratio
from engine.analytics.line_move import LineMove
from engine.analytics.weighting import Weighting
from engine.events.dependencies import marks_used, price_symbols_of
from engine.events.effects import AccountRisk, InputOffsets, MarkUsed
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ladder import SEVERITY, Band, LadderState, band_at
from engine.ladder.controls import outstanding
from engine.ladder.outlook import Outlook, outlook
from engine.ladder.states import Called, CallKind, Controls
from engine.ledger.accounts import AccountState, Stop
from engine.margin.figures import Figures, Line
from engine.margin.isolated_pool import explain_isolated, judged_isolated
from engine.margin.listed_part import unlisted_holdings
from engine.margin.margin_model import explain_shared, model_of, uses_portfolio
from engine.marks.mark_book import NANOSECONDS, MarkBook, Prices
from engine.numbers import canonical
from engine.policy import Policy, RatioDisplay
from engine.policy.rules.policy_switches import InstrumentKind, MarginModel
from engine.position_keys import symbol_of
from streams.answers.account_positions import OrderView, PositionView, order_views, position_views
from streams.answers.ladder_lines import market_moves
from streams.config.problem import WRONG_POLICY, Problem
from streams.config.terminal import printable

_replace = msgspec.structs.replace


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """The shared pool or one isolated position; amounts in account currency, exact."""

    position: str | None
    """Key of the isolated position; None for the shared pool."""
    model: str
    """cross, portfolio or isolated."""
    band: Band
    """Where the engine put it: with hysteresis, from the stored risk record."""
    band_at_figures: Band
    """What these figures alone say."""
    episode_id: str | None
    degraded: bool
    degraded_reasons: tuple[str, ...]
    held_by: int | None
    """Number of the opening of the shard's breaker that holds its liquidation."""
    controls: Controls
    """What it allows its account; of all pools the strictest holds."""
    call: CallKind
    called: Called | None
    """The figures that the call began with."""
    deadline_ns: int | None
    """Until when it is to be met."""
    outstanding: Decimal
    """Collateral value missing to be rid of the call; 0 without one."""
    follows: tuple[Outlook, ...]
    """What may happen next where nothing is done, and when."""
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    liquidation_fee: Decimal
    """Counted beside the maintenance margin, where the policy says so."""
    ratio: Decimal | None
    shown_ratio: Decimal | None
    """The same as the policy shows it; infinite for a requirement over no collateral."""
    initial_ratio: Decimal | None
    shown_initial_ratio: Decimal | None
    available_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    lines: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    """The summands of the figures, where they were asked for."""


class MarkView(MarkUsed, frozen=True, kw_only=True):
    """A mark that entered the figures, and how old it is."""

    age_seconds: float


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows."""

    account: str
    shard: int
    currency: str
    policy: str
    policy_digest: str
    margin_model: MarginModel
    """Of the shared pool: cross or portfolio."""
    ratio_display: RatioDisplay
    """How the policy shows margin ratios."""
    inputs: InputOffsets
    stops: dict[str, Stop]
    """By input topic, where the account is stopped."""
    read_at_ns: int
    marks: dict[str, MarkView]
    missing_marks: tuple[str, ...]
    pools: tuple[PoolView, ...]
    market_moves: dict[Band, LineMove]
    """By the band that begins below the line: how far the whole market may move until the shared pool reaches it."""
    beta_moves: dict[Band, LineMove]
    """The same with every underlying moving by its beta."""
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    balances: dict[str, Decimal]
    collateral_off: tuple[str, ...]
    """Assets that the account does not pledge."""
    idle_isolated_margin: dict[str, Decimal]
    """Margin of isolated positions that hold no contracts, in settle asset."""


def believed(marks: list[Mark], policy: Policy, now_ns: int) -> Prices:
    """Saved marks as a worker would see them at `now_ns`: stale ones are flagged."""
    book = MarkBook(policy)
    for mark in marks:
        book.prime(mark)
    book.advance(now_ns)
    return book.prices


def report(
    state: AccountState,
    risk: AccountRisk,
    shard: int,
    prices: Prices,
    policy: Policy,
    now_ns: int,
    *,
    explain: bool,
) -> AccountReport:
    """Value the account at `prices`; all it holds is listed (`check_listed`)."""
    pools = [CROSS, *sorted({*judged_isolated(state), *risk.pools} - {CROSS})]
    symbols = set[str]().union(*(price_symbols_of(state, pool, policy) for pool in pools))
    used = {
        symbol: mark for pool in pools for symbol, mark in marks_used(state, pool, prices, policy).items()
    }
    return AccountReport(
        account=state.account,
        shard=shard,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        margin_model=model_of(state, policy),
        ratio_display=policy.ratio,
        inputs=InputOffsets(state.fills.offset, state.ledger.offset),
        stops=stops(state),
        read_at_ns=now_ns,
        marks={symbol: _mark_view(mark, now_ns) for symbol, mark in sorted(used.items())},
        missing_marks=tuple(sorted(symbols - set(used))),
        pools=tuple(pool_view(state, risk, pool, prices, policy, explain=explain) for pool in pools),
        market_moves=market_moves(state, prices, policy, Weighting.UNIFORM),
        beta_moves=market_moves(state, prices, policy, Weighting.BETA),
        positions=position_views(state, prices, policy),
        orders=order_views(state, policy),
        balances=dict(sorted(state.balances.items())),
        collateral_off=state.collateral_off,
        idle_isolated_margin={
            symbol: held.margin
            for symbol, held in sorted(state.isolated.items())
            if not held.position.quantity
        },
    )


def worst_band(risk: AccountRisk) -> Band:
    """The worst band among an account's pools."""
    return max((pool.band for pool in risk.pools.values()), key=SEVERITY.__getitem__, default=Band.HEALTHY)


def stops(state: AccountState) -> dict[str, Stop]:
    """Why and where the account is stopped, by input topic."""
    both = {"fills": state.fills.stop, "ledger": state.ledger.stop}
    return {topic: stop for topic, stop in both.items() if stop is not None}


def resume_hint(account: str, topic: str) -> str:
    """The command that lets the account go on in the topic, but for why, which is the operator's to say."""
    return f"unimargin account resume {shlex.quote(printable(account))} --topic {topic} --why TEXT"


def check_listed(state: AccountState, risk: AccountRisk, policy: Policy) -> None:
    """Raise `Problem` for an instrument or asset that it holds and `policy` does not know, so that it cannot value the account."""
    symbols, assets = unlisted_holdings(state, policy)
    pools = {symbol_of(key) for key in risk.pools if key != CROSS}
    missing = [f"instrument {symbol}" for symbol in sorted(symbols | (pools - policy.instruments.keys()))]
    missing += [f"asset {asset}" for asset in sorted(assets)]
    if missing:
        raise Problem(
            f"account {state.account!r} holds what policy {policy.name!r} does not list: {', '.join(missing)}. {WRONG_POLICY}"
        )


def pool_view(
    state: AccountState, risk: AccountRisk, pool: str, prices: Prices, policy: Policy, *, explain: bool
) -> PoolView:
    """One pool at `prices`; with `explain` also the lines that sum to its figures."""
    ladder = risk.pools.get(pool, LadderState())
    figures = pool_figures(state, pool, prices, policy, ladder)
    return PoolView(
        position=pool or None,
        model="isolated" if pool else model_of(state, policy),
        band=ladder.band,
        band_at_figures=band_at(figures, policy.ladder),
        episode_id=ladder.episode_id,
        degraded=figures.degraded,
        degraded_reasons=why_degraded(figures, state, pool, prices, policy),
        held_by=ladder.held_by,
        controls=ladder.controls,
        call=ladder.call,
        called=ladder.called,
        deadline_ns=ladder.deadline_ns,
        outstanding=outstanding(ladder.call, figures, policy.ladder),
        follows=outlook(ladder, policy.ladder),
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        initial_margin=canonical(figures.initial_margin),
        maintenance_margin=canonical(figures.maintenance_margin),
        liquidation_fee=canonical(figures.liquidation_fee),
        ratio=figures.ratio,
        shown_ratio=_canonical(shown_ratio(figures, policy.ratio)),
        initial_ratio=figures.initial_ratio,
        shown_initial_ratio=_canonical(shown_initial_ratio(figures, policy.ratio)),
        available_margin=canonical(figures.available_margin),
        shortfall_to_call=canonical(figures.shortfall(policy.ladder.margin_call)),
        shortfall_to_liquidation=canonical(figures.shortfall(policy.ladder.liquidation)),
        lines=_lines(state, pool, prices, policy) if explain else msgspec.UNSET,
    )


def _canonical(ratio: Decimal | None) -> Decimal | None:
    # infinity has no canonical form
    return ratio if ratio is None or ratio.is_infinite() else canonical(ratio)


def why_degraded(
    figures: Figures, state: AccountState, pool: str, prices: Prices, policy: Policy
) -> tuple[str, ...]:
    """The same of a pool with these figures; () where they can be trusted."""
    return tuple(degraded_reasons(state, pool, prices, policy)) if figures.degraded else ()


def degraded_reasons(state: AccountState, pool: str, prices: Prices, policy: Policy) -> list[str]:
    """Why the figures of a pool are degraded, where they are: what stopped, and which prices are stale or missing."""
    reasons = [
        f"{topic} stopped at offset {stop.offset}: {stop.code}" for topic, stop in stops(state).items()
    ]
    for symbol in sorted(price_symbols_of(state, pool, policy)):
        if symbol not in prices.marks:
            reasons.append(f"{symbol}: no price")
        elif symbol in prices.stale:
            reasons.append(f"{symbol}: price is stale")
        elif _lacks_volatility(state, symbol, prices, policy):
            reasons.append(f"{symbol}: no volatility")
    return reasons


def _lacks_volatility(state: AccountState, symbol: str, prices: Prices, policy: Policy) -> bool:
    """Portfolio margin revalues options, and cannot without their volatility."""
    listed = policy.instruments.get(symbol)
    option = listed is not None and listed.kind is InstrumentKind.OPTION and uses_portfolio(state, policy)
    return option and prices.marks[symbol].volatility is None


def _lines(state: AccountState, pool: str, prices: Prices, policy: Policy) -> tuple[Line, ...]:
    if pool == CROSS:
        lines = explain_shared(state, prices, policy).lines
    elif pool in judged_isolated(state):
        lines = explain_isolated(state, pool, prices, policy).lines
    else:
        lines = ()
    return tuple(
        _replace(
            line,
            inputs={name: canonical(value) for name, value in line.inputs.items()},
            value=canonical(line.value),
        )
        for line in lines
    )


def _mark_view(mark: MarkUsed, now_ns: int) -> MarkView:
    age_s = round((now_ns - mark.time_ns) / NANOSECONDS, 3)
    return MarkView(**msgspec.structs.asdict(mark), age_seconds=age_s)
