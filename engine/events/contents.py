"""What an event tells besides the figures: how near the end is, what it comes from, what stands against it."""

from collections.abc import Callable, Iterator
from decimal import Decimal

from engine.analytics.liquidation_price import at_price
from engine.analytics.nearest import FACTOR_MAX, nearest_factor
from engine.analytics.what_if import EVERYTHING, Market
from engine.events.effects import CollateralLine, Contributor, Detail
from engine.ledger.accounts import AccountState
from engine.margin.cross.asset_equity import pooled_assets
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.cross.cross_sums import CrossSums
from engine.margin.dust import without_dust
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_margin
from engine.margin.margin_model import model_of
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, exact, to_step
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel, OptionValue
from engine.position_keys import symbol_of

CONTRIBUTORS_MAX = 3
DISTANCE_STEP = Decimal("0.0001")
PRICE_DIGITS = 6
"""Of a contributor's liquidation price."""

_CROSS = MarginModel.CROSS

FiguresAt = Callable[[Prices], Figures]


def detail_of(
    state: AccountState,
    pool: str,
    prices: Prices,
    policy: Policy,
    figures: Figures,
    figures_at: FiguresAt,
) -> Detail:
    """The detail of one pool with `figures` at `prices`, which hold its own marks only; `figures_at` answers at others."""
    line = policy.ladder.liquidation

    def gap(at: Figures) -> Decimal:
        # C - line * requirement
        return at.collateral_value - line * at.requirement

    with exact():
        held = _positions(state, pool, prices, policy)
        market, here = Market((EVERYTHING,), prices, policy), gap(figures)
        distance = nearest_factor(lambda factor: gap(figures_at(market.at({EVERYTHING: factor}))), here)
        sums, contributors = _sums(state, pool, prices, policy), []
        for margin, value in sorted(held, key=lambda it: (-_weight(it), it[0].key))[:CONTRIBUTORS_MAX]:
            symbol, mark = margin.symbol, margin.mark
            alone = sums if sums is not None and _moves_alone(symbol, sums, policy) else None

            def at_factor(
                factor: Decimal,
                symbol: str = symbol,
                mark: Decimal = mark,
                alone: CrossSums | None = alone,
            ) -> Decimal:
                price = canonical(policy.moved(symbol, mark, factor - ONE))
                if alone is not None:
                    return alone.repriced(symbol, price).gap(line)
                return gap(figures_at(at_price(prices, symbol, mark, price, policy)))

            factor_min = -FACTOR_MAX if symbol in policy.price_scales else ZERO
            factor = nearest_factor(at_factor, here, factor_min)
            at = None if factor is None else policy.moved(symbol, mark, factor - ONE)
            contributors.append(_contributor(margin, value, at))
        return Detail(
            None if distance is None else canonical(to_step(distance - ONE, DISTANCE_STEP, "half_even")),
            tuple(contributors),
            tuple(_collateral(state, pool, [margin for margin, _ in held], prices, policy)),
        )


def _sums(state: AccountState, pool: str, prices: Prices, policy: Policy) -> CrossSums | None:
    """The sums of a plain cross pool; None for any other."""
    state = without_dust(state, policy)
    if pool or model_of(state, policy) is not _CROSS or not CrossSums.fits(state, prices, policy):
        return None
    return CrossSums(state, prices, policy)


def _moves_alone(symbol: str, sums: CrossSums, policy: Policy) -> bool:
    """Whether no asset of the pool is priced by the underlying that moves with this contract."""
    underlying = policy.assets.get(policy.instruments[symbol].base)
    if underlying is None or not underlying.index:
        return True
    return underlying.index not in {policy.assets[asset].index for asset in sums.assets.assets}


_Held = tuple[PositionMargin, Decimal]
"""A position, and the value of one unit of its settle asset."""


def _positions(state: AccountState, pool: str, prices: Prices, policy: Policy) -> list[_Held]:
    if pool:
        of_pool = state.isolated.get(pool)
        if of_pool is None or not of_pool.position.quantity:
            return []
        held = [isolated_margin(state, pool, prices, policy)[0]]
    else:
        held, _ = cross_positions(state, prices, policy)
    return [(it, index_price(policy, it.settle, prices)[0]) for it in held]


def _weight(held: _Held) -> Decimal:
    margin, index = held
    # (MM + loss) * index
    return (margin.maintenance_margin - min(ZERO, margin.unrealised_pnl)) * index


def _contributor(margin: PositionMargin, index: Decimal, liquidation_price: Decimal | None) -> Contributor:
    return Contributor(
        margin.key,
        margin.quantity,
        canonical(margin.mark),
        canonical(margin.unrealised_pnl * index),
        canonical(margin.maintenance_margin * index),
        None if liquidation_price is None else _rounded(liquidation_price),
    )


def _rounded(price: Decimal) -> Decimal:
    if not price:
        return ZERO
    step = ONE.scaleb(price.adjusted() + 1 - PRICE_DIGITS)
    return canonical(to_step(price, step, "half_even"))


def _collateral(
    state: AccountState, pool: str, held: list[PositionMargin], prices: Prices, policy: Policy
) -> Iterator[CollateralLine]:
    if pool:
        of_pool = state.isolated.get(pool)
        if of_pool is None:
            return
        settle = policy.instruments[symbol_of(pool)].settle
        index, _ = index_price(policy, settle, prices)
        amount = of_pool.margin + sum((it.unrealised_pnl for it in held), ZERO)
        yield CollateralLine(settle, canonical(amount), canonical(index), canonical(amount * index))
        return
    options_count = policy.pool.option_value is OptionValue.COLLATERAL
    assets = pooled_assets(state, held, prices, policy, options_count=options_count)
    for asset in sorted(assets, key=lambda it: it.asset):
        value = asset.collateral_value - asset.liability_value
        yield CollateralLine(asset.asset, canonical(asset.amount), canonical(asset.index), canonical(value))
