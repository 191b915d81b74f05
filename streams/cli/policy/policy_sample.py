"""What a policy means for a sample account: a few positions at round prices, beside some collateral. Pure.

The account is built from the policy alone: up to three contracts, one per underlying, long and short in turn, then one short
option; deposits of equal value in the settle assets used and in two coins. Prices are round samples.
"""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.analytics.display import shown_ratio
from engine.analytics.liquidation_price import on_tick, shared_liquidation_price
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState, Position
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figures import Figures
from engine.margin.position_margin import PositionMargin
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import ONE, canonical, divide, exact
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind, Payoff

SAMPLE_PRICES = {
    "BTC": Decimal(100_000),
    "ETH": Decimal(3_500),
    "BNB": Decimal(900),
    "SOL": Decimal(150),
    "TRB": Decimal(50),
    "HYPE": Decimal(40),
    "XRP": Decimal(2),
    "ADA": ONE,
    "DOGE": Decimal("0.2"),
}
"""USD; every other asset is taken at 1, as a stablecoin."""
OPTION_VALUE_FRACTION = Decimal("0.02")
OPTION_VOLATILITY = Decimal("0.5")
OPTION_TERM = dt.timedelta(days=30)
NOTIONALS = (Decimal(50_000), Decimal(-20_000), Decimal(10_000))
"""USD, signed; the short option has the last one's size."""
DEPOSIT = Decimal(5_000)
"""USD per asset deposited."""
COINS_MAX = 2


class SamplePosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position by itself; amounts in its settle asset."""

    symbol: str
    quantity: Decimal
    mark: Decimal
    settle: str
    notional: Decimal
    initial_margin: Decimal | None
    maintenance_margin: Decimal | None
    """None for an option: it is margined together with the others on its underlying."""
    liquidation_price: Decimal | None
    """Of the whole pool, the other prices held, on the contract's tick. None where no price liquidates it, and
    for an option."""


class SampleAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account and its figures; amounts in account currency unless they say otherwise."""

    model: str
    """Margin model of the pool."""
    deposits: dict[str, Decimal]
    """Coins."""
    positions: tuple[SamplePosition, ...]
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    liquidation_fee: Decimal
    ratio: Decimal | None
    """Collateral value / requirement."""
    shown_ratio: Decimal | None
    """The same as the policy shows it."""
    initial_ratio: Decimal | None
    band: Band


def sample_account(policy: Policy) -> SampleAccount:
    """Build the sample account of a policy and compute what it needs."""
    prices = _prices(policy)
    state = _state(policy, prices)
    figures: Figures = pool_figures(state, CROSS, prices, policy)
    with exact():
        held, _ = cross_positions(state, prices, policy)
    return SampleAccount(
        model=policy.pool.model,
        deposits=state.balances,
        positions=tuple(_view(it, state, prices, policy) for it in held),
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        initial_margin=canonical(figures.initial_margin),
        maintenance_margin=canonical(figures.maintenance_margin),
        liquidation_fee=canonical(figures.liquidation_fee),
        ratio=figures.ratio,
        shown_ratio=shown_ratio(figures, policy.ratio),
        initial_ratio=figures.initial_ratio,
        band=band_at(figures, policy.ladder),
    )


def _view(margin: PositionMargin, state: AccountState, prices: Prices, policy: Policy) -> SamplePosition:
    instrument = policy.instruments[margin.symbol]
    alone = instrument.kind is not InstrumentKind.OPTION
    price = None
    if alone:
        price = shared_liquidation_price(state, margin.key, prices, policy, line=policy.ladder.liquidation)
    return SamplePosition(
        symbol=margin.symbol,
        quantity=margin.quantity,
        mark=canonical(margin.mark),
        settle=margin.settle,
        notional=canonical(margin.notional),
        initial_margin=canonical(margin.initial_margin) if alone else None,
        maintenance_margin=canonical(margin.maintenance_margin) if alone else None,
        liquidation_price=(
            None if price is None else canonical(on_tick(price, margin.quantity, instrument.price_step))
        ),
    )


def _prices(policy: Policy) -> Prices:
    found = {it.index: _usd(name, policy.account_currency) for name, it in policy.assets.items() if it.index}
    for symbol, instrument in policy.instruments.items():
        if instrument.kind is not InstrumentKind.SPOT:
            found[symbol] = _mark(instrument)
        if instrument.forward:
            found[instrument.forward] = _usd(instrument.base, policy.account_currency)
    expiries = [it.expiry for it in policy.instruments.values() if it.expiry is not None]
    now = min(expiries) - OPTION_TERM if expiries else dt.datetime.fromtimestamp(0, dt.UTC)
    time_ns = int(now.timestamp()) * NANOSECONDS
    marks = {
        symbol: Mark(symbol=symbol, price=price, sequence=1, time_ns=time_ns, volatility=OPTION_VOLATILITY)
        for symbol, price in found.items()
    }
    return Prices(marks=marks, stale=frozenset(), time_ns=time_ns)


def _usd(asset: str, unit: str = "USD") -> Decimal:
    """Sample price of an asset, in units of another."""
    return divide(SAMPLE_PRICES.get(asset, ONE), SAMPLE_PRICES.get(unit, ONE))


def _mark(instrument: Instrument) -> Decimal:
    if instrument.payoff is Payoff.INVERSE:
        return _usd(instrument.base)
    price = _usd(instrument.base, instrument.settle)
    if instrument.kind is InstrumentKind.OPTION:
        return price * OPTION_VALUE_FRACTION
    with exact():
        # one that may be 0 and below is shown at its least scale, or above
        return instrument.scale(price)


def _state(policy: Policy, prices: Prices) -> AccountState:
    positions: dict[str, Position] = {}
    settles: dict[str, None] = {}
    for symbol, notional in _chosen(policy):
        instrument = policy.instruments[symbol]
        quantity = _quantity(instrument, notional)
        if quantity:
            price = prices.marks[symbol].price
            with exact():
                value = instrument.value(quantity, price)
            positions[symbol] = Position(quantity, canonical(value))
            settles[instrument.settle] = None
    coins = [name for name in policy.assets if name in SAMPLE_PRICES and name not in settles]
    deposits = {name: canonical(divide(DEPOSIT, _usd(name))) for name in [*settles, *coins[:COINS_MAX]]}
    return AccountState(account="sample", balances=deposits, positions=positions)


def _chosen(policy: Policy) -> Iterator[tuple[str, Decimal]]:
    """The instruments of the sample account, each with its signed notional in USD."""
    left = list(NOTIONALS)
    bases: set[str] = set()
    # in the order of the known prices, then of the file
    known = {base: place for place, base in enumerate(SAMPLE_PRICES)}
    listed = sorted(policy.instruments.items(), key=lambda it: known.get(it[1].base, len(known)))
    for symbol, instrument in listed:
        if (
            instrument.kind in {InstrumentKind.PERPETUAL, InstrumentKind.FUTURE}
            and left
            and instrument.base not in bases
        ):
            bases.add(instrument.base)
            yield symbol, left.pop(0)
    option = next(
        (symbol for symbol, it in policy.instruments.items() if it.kind is InstrumentKind.OPTION), None
    )
    if option is not None:
        yield option, -NOTIONALS[-1]


def _quantity(instrument: Instrument, notional: Decimal) -> Decimal:
    """Contracts of about that notional, a multiple of the lot size."""
    # linear: notional / (price * multiplier);  inverse: notional / multiplier
    with exact():
        price = ONE if instrument.payoff is Payoff.INVERSE else instrument.scale(_usd(instrument.base))
        contracts = divide(notional, instrument.multiplier * price)
    step = instrument.quantity_step
    if not step:
        return canonical(contracts)
    with exact():
        return canonical(int(divide(contracts, step)) * step)
