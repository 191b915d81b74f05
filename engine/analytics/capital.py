"""The same account segregated, in cross margin and under portfolio margin: how much capital each model ties up.

segregated   sum over positions of IM + max(0, - P&L)       no profit of one position helps another
cross        IM of the pool + max(0, - sum of P&L)
portfolio    IM of the net risk + max(0, - sum of P&L)
freed        = capital of the segregated account - capital of the model
P&L is unrealised, and the value of options where the model counts it in the collateral (otherwise IM contains it).
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.margin_model import model_of, shared_figures
from engine.margin.options.option_pool import option_groups
from engine.margin.portfolio.portfolio_pool import portfolio_figures
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel, OptionValue


class ModelCapital(msgspec.Struct, frozen=True):
    """What one margin model would require of the account; amounts in account currency."""

    model: str
    """"segregated", "cross" (or "health", where that is the policy's pool) or "portfolio"."""
    initial_margin: Decimal
    maintenance_margin: Decimal
    capital: Decimal
    """Initial margin and the unrealised losses it has to carry."""
    freed: Decimal
    """Less than the segregated account would tie up."""


class PositionAlone(msgspec.Struct, frozen=True):
    """One position by itself, in account currency."""

    initial_margin: Decimal
    maintenance_margin: Decimal
    profit: Decimal
    option: bool


def capital_by_model(state: AccountState, prices: Prices, policy: Policy) -> tuple[ModelCapital, ...]:
    """The shared pool's positions under each margin model that the policy has."""
    pooled = msgspec.structs.replace(state, orders={}, margin_model=MarginModel.CROSS)
    options_count = policy.pool.option_value is OptionValue.COLLATERAL
    figures = {model_of(pooled, policy): (shared_figures(pooled, prices, policy), options_count)}
    if policy.portfolio is not None:
        figures[MarginModel.PORTFOLIO] = (portfolio_figures(pooled, prices, policy), True)
    with exact():
        each = [alone(it, prices, policy) for it in cross_positions(pooled, prices, policy)[0]]
        initial = sum((it.initial_margin for it in each), ZERO)
        maintenance = sum((it.maintenance_margin for it in each), ZERO)
        # segregated = sum over positions of IM + max(0, - P&L)
        segregated = initial + sum((_loss([it], options_count=options_count) for it in each), ZERO)
        models = [_of_model("segregated", initial, maintenance, segregated, segregated)]
        for model, (of, counts) in figures.items():
            # capital = IM + max(0, - sum of P&L)
            capital = of.initial_margin + _loss(each, options_count=counts)
            models.append(_of_model(model, of.initial_margin, of.maintenance_margin, capital, segregated))
        return tuple(models)


def alone(margin: PositionMargin, prices: Prices, policy: Policy) -> PositionAlone:
    """What a position of a shared pool requires without the others. Inside `numbers.exact()`."""
    index, _ = index_price(policy, margin.settle, prices)
    groups, _ = option_groups([margin], prices, policy)
    initial = sum((group.initial_margin for group in groups), margin.initial_margin)
    maintenance = sum((group.maintenance_margin for group in groups), margin.maintenance_margin)
    return PositionAlone(initial * index, maintenance * index, margin.unrealised_pnl * index, bool(groups))


def _loss(held: list[PositionAlone], *, options_count: bool) -> Decimal:
    return max(ZERO, -sum((it.profit for it in held if options_count or not it.option), ZERO))


def _of_model(
    model: str, initial: Decimal, maintenance: Decimal, capital: Decimal, segregated: Decimal
) -> ModelCapital:
    freed = segregated - capital
    return ModelCapital(
        model, canonical(initial), canonical(maintenance), canonical(capital), canonical(freed)
    )
