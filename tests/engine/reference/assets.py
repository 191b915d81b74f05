"""What an amount of an asset is worth as collateral, and what owing it requires, in account currency."""

from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

from tests.engine.reference.positions import integral
from tests.engine.reference.rounding import quotient


class Quote(NamedTuple):
    """Prices of an asset: its index, and the prices at which a holder and a debtor are judged."""

    index: Fraction
    holding: Fraction
    owing: Fraction
    fresh: bool


def quote(policy: SimpleNamespace, asset: str, prices: SimpleNamespace) -> Quote:
    """1 for the account currency and for what never had a price; the less favourable of index and average if asked."""
    symbol = policy.assets[asset].index
    mark = prices.marks.get(symbol)
    if not symbol or mark is None:
        return Quote(Fraction(1), Fraction(1), Fraction(1), fresh=not symbol)
    both = [mark.price]
    if policy.pool.conservative_price and mark.average_price is not None:
        both.append(mark.average_price)
    return Quote(mark.price, min(both), max(both), symbol not in prices.stale)


class Standing(NamedTuple):
    """What one asset of the pool adds to the figures."""

    collateral: Fraction
    owed: Fraction
    """Counts as a requirement; 0 where a liability lowers the collateral value."""
    initial: Fraction
    maintenance: Fraction
    fresh: bool

    @property
    def net(self) -> Fraction:
        """Collateral less what is owed."""
        return self.collateral - self.owed


def standing(
    policy: SimpleNamespace,
    state: SimpleNamespace,
    asset: str,
    wallet: Fraction,
    profit: Fraction,
    prices: SimpleNamespace,
) -> Standing:
    """An asset with that balance and that counted profit."""
    price, apart = quote(policy, asset, prices), Fraction(0)
    if policy.pool.haircut_on == "equity":
        worth = value(policy, state, asset, wallet + profit, prices)
    else:
        worth = value(policy, state, asset, wallet, prices)
        if profit <= 0:
            apart = profit * price.owing
        elif price.fresh:
            # an unrealised profit has no haircut, and no value in coins that have no price
            apart = profit * price.holding
    owed = -min(worth, Fraction(0)) if policy.pool.liabilities == "requirement" else Fraction(0)
    initial, maintenance = borrowing(policy, asset, wallet + profit, prices)
    return Standing(worth + owed + apart, owed, initial, maintenance, price.fresh)


def value(
    policy: SimpleNamespace, state: SimpleNamespace, asset: str, amount: Fraction, prices: SimpleNamespace
) -> Fraction:
    """A balance after haircut, or what a debt of it costs."""
    rules, price = policy.assets[asset], quote(policy, asset, prices)
    said = prices.marks.get(rules.index)
    if amount < 0:
        factor = rules.liability_factor
        if rules.borrow_scale_start is not None and said is not None and said.borrows is not None:
            factor *= max(Fraction(1), quotient(said.borrows * price.owing, rules.borrow_scale_start))
        return amount * factor * price.owing
    if not price.fresh or not rules.collateral or asset in state.collateral_off:
        return Fraction(0)
    counted, unit = (amount * price.holding, 1) if rules.tiers_by == "value" else (amount, price.holding)
    if rules.cap is not None:
        counted = min(counted, rules.cap)
    worth = integral(counted, [one.floor for one in rules.tiers], [one.ratio for one in rules.tiers]) * unit
    if rules.deposit_scale_start is not None and said is not None:
        held = [it for it in (said.deposits, said.potential_deposits) if it is not None]
        if any(held):
            worth *= min(Fraction(1), quotient(rules.deposit_scale_start, sum(held) * price.holding))
    return worth


def borrowing(
    policy: SimpleNamespace, asset: str, amount: Fraction, prices: SimpleNamespace
) -> tuple[Fraction, Fraction]:
    """Initial and maintenance margin of the debt that a negative amount is."""
    tiers = policy.assets[asset].borrow_tiers
    if amount >= 0 or not tiers:
        return Fraction(0), Fraction(0)
    floors, owing = [one.floor for one in tiers], quote(policy, asset, prices).owing
    return (
        integral(-amount, floors, [one.initial_rate for one in tiers]) * owing,
        integral(-amount, floors, [one.maintenance_rate for one in tiers]) * owing,
    )


def conversion(policy: SimpleNamespace, settle: str, prices: SimpleNamespace) -> Fraction:
    """What a unit of requirement in `settle` is in account currency."""
    factor = policy.assets[settle].liability_factor if policy.pool.requirement_rate == "liability" else 1
    return quote(policy, settle, prices).owing * factor
