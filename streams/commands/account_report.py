"""What `unimargin account` says about an account, computed from its stored state and the saved marks. Pure."""

from decimal import Decimal

import msgspec

from engine.accounts import AccountState, Position, Stop
from engine.effects import AccountRisk, InputOffsets, MarkUsed
from engine.inputs import MarginMode, Mark
from engine.judgement import CROSS, marks_used, pool_figures, price_symbols_of
from engine.ladder import SEVERITY, Band, LadderState, band_at
from engine.margin.cross import explain_cross, index_price, mark_price
from engine.margin.figures import Line
from engine.margin.isolated import explain_isolated, open_isolated
from engine.margin.position import position_margin
from engine.marks import NANOSECONDS, MarkBook, Prices
from engine.numbers import canonical, divide, exact
from engine.policy import Policy

_replace = msgspec.structs.replace


class NotListed(Exception):  # noqa: N818 - it names what is wrong with the policy
    """The account holds what the policy does not list, so this policy cannot value it."""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """The cross pool or one isolated position; amounts in account currency, exact."""

    position: str | None
    """Symbol of the isolated position; None for the cross pool."""
    band: Band
    """Where the engine put it: with hysteresis, from the stored risk record."""
    band_at_figures: Band
    """What these figures alone say."""
    episode_id: str | None
    degraded: bool
    degraded_reasons: tuple[str, ...]
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    ratio: Decimal | None
    initial_ratio: Decimal | None
    available_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    lines: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    """The summands of the four figures, where they were asked for."""


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open position; amounts in its settle asset, exact but for the entry price."""

    symbol: str
    mode: MarginMode
    settle: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal
    mark_fresh: bool
    unrealised_pnl: Decimal
    notional: Decimal
    maintenance_margin: Decimal
    initial_margin: Decimal
    leverage: Decimal
    isolated_margin: Decimal | None


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
    inputs: InputOffsets
    stops: dict[str, Stop]
    """By input topic, where the account is stopped."""
    read_at_ns: int
    marks: dict[str, MarkView]
    missing_marks: tuple[str, ...]
    pools: tuple[PoolView, ...]
    positions: tuple[PositionView, ...]
    balances: dict[str, Decimal]
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
    """Value the account at `prices`. Raises `NotListed`."""
    check_listed(state, risk, policy)
    pools = [CROSS, *sorted({*open_isolated(state), *risk.pools} - {CROSS})]
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
        inputs=InputOffsets(state.fills.offset, state.ledger.offset),
        stops=stops(state),
        read_at_ns=now_ns,
        marks={symbol: _mark_view(mark, now_ns) for symbol, mark in sorted(used.items())},
        missing_marks=tuple(sorted(symbols - set(used))),
        pools=tuple(_pool_view(state, risk, pool, prices, policy, explain=explain) for pool in pools),
        positions=tuple(_positions(state, prices, policy)),
        balances=dict(sorted(state.balances.items())),
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


def check_listed(state: AccountState, risk: AccountRisk, policy: Policy) -> None:
    """Raise `NotListed` for an instrument or asset that `policy` does not know."""
    symbols = {*state.positions, *state.isolated, *risk.pools} - {CROSS}
    missing = [f"instrument {symbol}" for symbol in sorted(symbols - set(policy.instruments))]
    missing += [f"asset {asset}" for asset in sorted(set(state.balances) - set(policy.assets))]
    if missing:
        raise NotListed(
            f"account {state.account!r} holds what policy {policy.name!r} does not list: {', '.join(missing)}"
        )


def _pool_view(
    state: AccountState, risk: AccountRisk, pool: str, prices: Prices, policy: Policy, *, explain: bool
) -> PoolView:
    figures = pool_figures(state, pool, prices, policy)
    ladder = risk.pools.get(pool, LadderState())
    return PoolView(
        position=pool or None,
        band=ladder.band,
        band_at_figures=band_at(figures, policy.ladder),
        episode_id=ladder.episode_id,
        degraded=figures.degraded,
        degraded_reasons=tuple(_degraded_reasons(state, pool, prices, policy)) if figures.degraded else (),
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        initial_margin=canonical(figures.initial_margin),
        maintenance_margin=canonical(figures.maintenance_margin),
        ratio=figures.ratio,
        initial_ratio=figures.initial_ratio,
        available_margin=canonical(figures.available_margin),
        shortfall_to_call=canonical(figures.shortfall(policy.ladder.margin_call)),
        shortfall_to_liquidation=canonical(figures.shortfall(policy.ladder.liquidation)),
        lines=_lines(state, pool, prices, policy) if explain else msgspec.UNSET,
    )


def _degraded_reasons(state: AccountState, pool: str, prices: Prices, policy: Policy) -> list[str]:
    reasons = [
        f"{topic} stopped at offset {stop.offset}: {stop.code}" for topic, stop in stops(state).items()
    ]
    for symbol in sorted(price_symbols_of(state, pool, policy)):
        if symbol not in prices.marks:
            reasons.append(f"{symbol}: no price")
        elif symbol in prices.stale:
            reasons.append(f"{symbol}: price is stale")
    return reasons


def _lines(state: AccountState, pool: str, prices: Prices, policy: Policy) -> tuple[Line, ...]:
    if pool == CROSS:
        lines = explain_cross(state, prices, policy).lines
    elif pool in open_isolated(state):
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


def _positions(state: AccountState, prices: Prices, policy: Policy) -> list[PositionView]:
    views = [
        _position_view(state, symbol, position, None, prices, policy)
        for symbol, position in sorted(state.positions.items())
    ]
    for symbol in sorted(open_isolated(state)):
        held = state.isolated[symbol]
        views.append(_position_view(state, symbol, held.position, held.margin, prices, policy))
    return views


def _position_view(
    state: AccountState,
    symbol: str,
    position: Position,
    margin: Decimal | None,
    prices: Prices,
    policy: Policy,
) -> PositionView:
    with exact():
        mark, fresh = mark_price(symbol, position, prices, policy)
        leverage = state.leverage.get(symbol, policy.leverage_default)
        figures = position_margin(symbol, position, mark, leverage, policy)
        multiplier = policy.instruments[symbol].multiplier
        return PositionView(
            symbol=symbol,
            mode=MarginMode.CROSS if margin is None else MarginMode.ISOLATED,
            settle=figures.settle,
            quantity=position.quantity,
            # average entry price = entry value / (quantity * multiplier)
            entry_price=canonical(divide(position.entry_value, position.quantity * multiplier)),
            mark=canonical(mark),
            mark_fresh=fresh and index_price(policy, figures.settle, prices)[1],
            unrealised_pnl=canonical(figures.unrealised_pnl),
            notional=canonical(figures.notional),
            maintenance_margin=canonical(figures.maintenance_margin),
            initial_margin=canonical(figures.initial_margin),
            leverage=leverage,
            isolated_margin=margin,
        )


def _mark_view(mark: MarkUsed, now_ns: int) -> MarkView:
    age_s = round((now_ns - mark.time_ns) / NANOSECONDS, 3)
    return MarkView(mark.price, mark.sequence, mark.time_ns, mark.stale, age_seconds=age_s)
