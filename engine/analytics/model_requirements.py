"""What an account would have to hold under each margin model of each of several policies, side by side.

segregated   IM, MM = sum over positions of each alone + open orders of each market;  it has no pool, so no ratio
a model      the figures of the shared pool (`margin.margin_model`), as if the account had chosen it

Isolated positions and their orders are outside of the shared pool and left out. Another policy's contracts are found by their terms
(`other_names`); what it does not list it cannot value, and says so.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.analytics.capital import alone
from engine.analytics.other_names import Renamed, renamed
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_pool
from engine.margin.figures import Line
from engine.margin.margin_model import explain_shared, shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

SEGREGATED = "segregated"


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The account under one model; amounts in the policy's account currency."""

    model: str
    """segregated, cross, portfolio or health."""
    initial_margin: Decimal
    maintenance_margin: Decimal
    """With the liquidation fee, where the policy counts it."""
    equity: Decimal
    collateral_value: Decimal | None
    """None for the segregated account, which has no pool."""
    available_margin: Decimal | None
    ratio: Decimal | None
    band: Band | None
    """What the figures alone say."""
    lines: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    """The summands of a pool's figures, where they were asked for."""


class PolicyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The account under one policy."""

    policy: str
    policy_digest: str
    currency: str
    models: tuple[ModelFigures, ...]
    """Empty where the policy does not list all that the account holds."""
    unlisted: tuple[str, ...]
    names: dict[str, str]
    """By our symbol, the policy's own, where they differ."""
    missing_prices: tuple[str, ...]
    """Price symbols of what is held that nobody has: such positions count at their entry, such collateral counts nothing."""


def policy_figures(
    state: AccountState, prices: Prices, policy: Policy, *, explain: bool = False
) -> PolicyFigures:
    """The account under every model that its policy has."""
    shared = msgspec.structs.replace(
        state, isolated={}, orders={name: it for name, it in state.orders.items() if not it.isolated}
    )
    return _figures(Renamed(shared, prices, {}, ()), policy, explain=explain)


def other_figures(
    state: AccountState, prices: Prices, policy: Policy, other: Policy, *, explain: bool = False
) -> PolicyFigures:
    """The account of `policy` under every model that another one has."""
    return _figures(renamed(state, prices, policy, other), other, explain=explain)


def _figures(told: Renamed, policy: Policy, *, explain: bool) -> PolicyFigures:
    models = () if told.unlisted else tuple(_models(told.state, told.prices, policy, explain=explain))
    return PolicyFigures(
        policy=policy.name,
        policy_digest=policy.digest,
        currency=policy.account_currency,
        models=models,
        unlisted=told.unlisted,
        names=told.names,
        missing_prices=() if told.unlisted else tuple(_missing(told.state, told.prices, policy)),
    )


def _missing(state: AccountState, prices: Prices, policy: Policy) -> list[str]:
    held = {symbol_of(key) for key in state.positions}
    needed = {it for symbol in held for it in policy.priced_by[symbol]}
    needed |= {policy.assets[asset].index for asset in state.balances} - {""}
    return sorted(needed - prices.marks.keys())


def _models(state: AccountState, prices: Prices, policy: Policy, *, explain: bool) -> Iterator[ModelFigures]:
    yield _segregated(state, prices, policy)
    for model in policy.margin_models:
        under = msgspec.structs.replace(state, margin_model=model.value)
        of = shared_figures(under, prices, policy)
        yield ModelFigures(
            model=model.value,
            initial_margin=canonical(of.initial_margin),
            maintenance_margin=canonical(of.requirement),
            equity=canonical(of.equity),
            collateral_value=canonical(of.collateral_value),
            available_margin=canonical(of.available_margin),
            ratio=of.ratio,
            band=band_at(of, policy.ladder),
            lines=explain_shared(under, prices, policy).lines if explain else msgspec.UNSET,
        )


def _segregated(state: AccountState, prices: Prices, policy: Policy) -> ModelFigures:
    with exact():
        pool = cross_pool(state, prices, policy)
        each = [alone(margin, prices, policy) for margin in pool.positions]
        rate = policy.pool.liquidation_fee_rate
        initial = sum((it.initial_margin for it in each), ZERO)
        maintenance = sum((it.maintenance_margin for it in each), ZERO)
        # liquidation fee rate * N * price, as of a pool
        maintenance += sum(
            (rate * it.notional * pool.requirement_prices[it.settle] for it in pool.positions), ZERO
        )
        for order in pool.orders:
            price = pool.requirement_prices[order.settle]
            initial += order.initial_margin * price
            maintenance += order.maintenance_margin * price
        flat = pool.orders_open * policy.pool.order_requirement
        return ModelFigures(
            model=SEGREGATED,
            initial_margin=canonical(initial + flat),
            maintenance_margin=canonical(maintenance + flat),
            equity=canonical(sum((it.amount * it.index for it in pool.assets), ZERO)),
            collateral_value=None,
            available_margin=None,
            ratio=None,
            band=None,
        )
