"""What the scenario engine sees of an account's shared pool.

Contracts keep their settle asset; options and coins are stated in account currency, like strikes and index prices.

Twin: `engine.book.boxes.unit_swings`.
"""

from decimal import Decimal

from engine.margin.cross.asset_equity import PooledAsset
from engine.margin.portfolio import Exposure
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price, underlying_price
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import ONE, ZERO, divide
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind

_OPTION = InstrumentKind.OPTION


def pool_exposures(
    held: list[PositionMargin], assets: list[PooledAsset], prices: Prices, policy: Policy
) -> tuple[list[Exposure], bool]:
    """Exposures of positions and of coins that are traded underlyings, and whether a price they need is missing.

    Call it inside `numbers.exact()`.
    """
    exposures, missing = [], False
    for margin in held:
        instrument = policy.instruments[margin.symbol]
        index, fresh = _index(instrument, prices, policy)
        missing = missing or not fresh
        if instrument.kind is _OPTION:
            exposures.append(_option(margin, instrument, index, prices, policy))
            missing = missing or _unpriced(margin.symbol, instrument, prices)
        else:
            exposures.append(_contract(margin, instrument, index, prices, policy))
    traded = policy.underlyings
    exposures += [_coin(asset, prices, policy) for asset in assets if asset.asset in traded and asset.amount]
    return exposures, missing


def _index(instrument: Instrument, prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """Price of the underlying and whether it is fresh; 0 (the mark) for a contract whose underlying has no price."""
    if instrument.kind is not _OPTION and instrument.base not in policy.assets and not instrument.forward:
        return ZERO, True
    return underlying_price(instrument, prices, policy)


def _unpriced(symbol: str, option: Instrument, prices: Prices) -> bool:
    """Whether volatility or forward of an option are missing or stale."""
    mark = prices.marks.get(symbol)
    forward_stale = option.forward and (option.forward in prices.stale or option.forward not in prices.marks)
    return mark is None or mark.volatility is None or bool(forward_stale)


def _contract(
    margin: PositionMargin, instrument: Instrument, index: Decimal, prices: Prices, policy: Policy
) -> Exposure:
    per_settle, _ = index_price(policy, margin.settle, prices)
    return Exposure(
        symbol=margin.key,
        underlying=instrument.base,
        kind="inverse" if instrument.inverse else "linear",
        quantity=margin.quantity * instrument.multiplier,
        # all that is asked of it are fractions
        mark=instrument.scale(margin.mark),
        # an inverse contract is quoted in account currency, a linear one in its settle asset
        index=index if instrument.inverse else divide(index, per_settle),
        conversion=per_settle,
        settle=margin.settle,
        expiry=str(instrument.expiry or ""),
        seconds_to_expiry=_seconds_to(instrument, prices),
        profit=margin.unrealised_pnl,
        confidence=_confidence(margin.symbol, prices),
        index_confidence=_index_confidence(instrument, prices, policy),
    )


def _option(
    margin: PositionMargin, instrument: Instrument, index: Decimal, prices: Prices, policy: Policy
) -> Exposure:
    right, strike = instrument.option_terms
    per_settle, _ = index_price(policy, margin.settle, prices)
    mark, forward = prices.marks.get(margin.symbol), prices.marks.get(instrument.forward)
    return Exposure(
        symbol=margin.key,
        underlying=instrument.base,
        kind="option",
        quantity=margin.quantity * instrument.multiplier,
        mark=margin.mark * per_settle,
        index=index,
        settle=margin.settle,
        expiry=str(instrument.expiry),
        seconds_to_expiry=_seconds_to(instrument, prices),
        right=right,
        strike=strike,
        volatility=(mark.volatility if mark else None) or ZERO,
        forward=index if forward is None else forward.price,
        rate=instrument.interest_rate,
        confidence=_confidence(margin.symbol, prices),
        index_confidence=_index_confidence(instrument, prices, policy),
    )


def _coin(asset: PooledAsset, prices: Prices, policy: Policy) -> Exposure:
    confidence = _confidence(policy.assets[asset.asset].index, prices)
    return Exposure(
        symbol=asset.asset,
        underlying=asset.asset,
        kind="spot",
        quantity=asset.amount,
        mark=asset.index,
        index=asset.index,
        confidence=confidence,
        index_confidence=confidence,
    )


def _seconds_to(instrument: Instrument, prices: Prices) -> Decimal:
    """Seconds from event time to the instrument's expiry; 0 once it is over, and for what never expires."""
    if instrument.expiry is None:
        return ZERO
    left_ns = instrument.expiry_ns - prices.time_ns
    return max(ZERO, divide(Decimal(left_ns), Decimal(NANOSECONDS)))


def _confidence(symbol: str, prices: Prices) -> Decimal:
    mark = prices.marks.get(symbol)
    return ONE if mark is None or mark.confidence is None else mark.confidence


def _index_confidence(instrument: Instrument, prices: Prices, policy: Policy) -> Decimal:
    asset = policy.assets.get(instrument.base)
    return _confidence(instrument.forward if asset is None else asset.index, prices)
