"""Lists of instruments as venues and libraries answer them: Bybit, OKX, Deribit and ccxt.

    Bybit        GET /v5/market/instruments-info        {result: {list: [{symbol, contractType | optionsType, settleCoin, ...}]}}
    OKX          GET /api/v5/public/instruments         {data: [{instId, instType, ctType, ctVal, ctMult, settleCcy, ...}]}
    Deribit      public/get_instruments                 {result: [{instrument_name, kind, instrument_type, contract_size, ...}]}
    ccxt         exchange.markets or fetch_markets()    {"BTC/USDT:USDT": {base, quote, settle, contractSize, ...}}, or a list

A contract without a tier table of its own names one after itself, as the filters of `binance_rows` do.
"""

from decimal import Decimal
from typing import TypedDict

from engine.numbers import ONE, ZERO, divide
from engine.policy.reading.imported import Imported
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.venue_document import Row, moment, named_day, part, positive, step, word
from engine.policy.rules.instrument_rules import Instrument, OptionRight
from engine.policy.rules.policy_switches import InstrumentKind, Payoff

_RIGHTS: dict[str, OptionRight] = {"c": "call", "call": "call", "p": "put", "put": "put"}
_OPTION_WORDS = 4
"""Of an option's name: underlying, day, strike, right."""


class Steps(TypedDict):
    """Lot and tick size of an instrument; 0 where the file has none."""

    quantity_step: Decimal
    price_step: Decimal


def bybit_instrument(imported: Imported, name: str, row: Row) -> None:
    """One of Bybit's; its contracts are of one coin (linear) or one dollar (inverse)."""
    lots, ticks = part(row, "lotSizeFilter"), part(row, "priceFilter")
    sizes = Steps(quantity_step=step(lots, "qtyStep"), price_step=step(ticks, "tickSize"))
    settle = word(row, "settleCoin")
    if "optionsType" in row:
        _option(
            imported,
            name,
            row,
            base=word(row, "baseCoin"),
            settle=settle,
            right=word(row, "optionsType"),
            sizes=sizes,
        )
        return
    kind = word(row, "contractType")
    if kind not in ("LinearPerpetual", "LinearFutures", "InversePerpetual", "InverseFutures"):
        raise PolicyError(f"contractType {kind!r} is none that is read")
    dated = kind.endswith("Futures")
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.FUTURE if dated else InstrumentKind.PERPETUAL,
            base=word(row, "baseCoin"),
            settle=settle,
            payoff=Payoff.INVERSE if kind.startswith("Inverse") else Payoff.LINEAR,
            tiers=name,
            expiry=moment(row, "deliveryTime") if dated else None,
            **sizes,
        ),
    )


def okx_instrument(imported: Imported, name: str, row: Row) -> None:
    """One of OKX's."""
    kind = word(row, "instType")
    if kind not in ("SWAP", "FUTURES", "OPTION"):
        raise PolicyError(f"instType {kind!r} is no contract")
    base = word(row, "uly").partition("-")[0]
    # units of the underlying (or quote currency) per contract = contract value * contract multiplier
    multiplier = positive(row, "ctVal") * positive(row, "ctMult")
    sizes = Steps(quantity_step=step(row, "lotSz"), price_step=step(row, "tickSz"))
    if kind == "OPTION":
        settle, right = word(row, "settleCcy"), word(row, "optType")
        _option(
            imported, name, row, base=base, settle=settle, right=right, multiplier=multiplier, sizes=sizes
        )
        return
    dated = kind == "FUTURES"
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.FUTURE if dated else InstrumentKind.PERPETUAL,
            base=base,
            settle=word(row, "settleCcy"),
            payoff=_payoff(row, "ctType", "inverse"),
            multiplier=multiplier,
            tiers=name,
            expiry=moment(row, "expTime") if dated else None,
            **sizes,
        ),
    )


def deribit_instrument(imported: Imported, name: str, row: Row) -> None:
    """One of Deribit's; its amounts are in coins or dollars, a policy's in contracts."""
    kind = word(row, "kind")
    if kind not in ("future", "option"):
        raise PolicyError(f"kind {kind!r} is no contract of its own")
    size = positive(row, "contract_size")
    # smallest order in contracts = smallest amount / contract size
    sizes = Steps(
        quantity_step=divide(positive(row, "min_trade_amount"), size), price_step=step(row, "tick_size")
    )
    base, settle = word(row, "base_currency"), word(row, "settlement_currency")
    if kind == "option":
        right = word(row, "option_type")
        _option(imported, name, row, base=base, settle=settle, right=right, multiplier=size, sizes=sizes)
        return
    dated = row.get("settlement_period") != "perpetual"
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.FUTURE if dated else InstrumentKind.PERPETUAL,
            base=base,
            settle=settle,
            payoff=_payoff(row, "instrument_type", "reversed"),
            multiplier=size,
            tiers=name,
            expiry=moment(row, "expiration_timestamp") if dated else None,
            **sizes,
        ),
    )


def ccxt_market(imported: Imported, name: str, row: Row) -> None:
    """One market of ccxt, under the venue's own name."""
    if not row.get("contract"):
        raise PolicyError(f"type {row.get('type')!r} is no contract")
    precision = row.get("precision")
    steps = Steps(quantity_step=_tick(precision, "amount"), price_step=_tick(precision, "price"))
    base, settle = word(row, "base"), word(row, "settle")
    size = positive(row, "contractSize")
    symbol = word(row, "id")
    if row.get("option"):
        right = word(row, "optionType")
        _option(imported, symbol, row, base=base, settle=settle, right=right, multiplier=size, sizes=steps)
        return
    dated = bool(row.get("future"))
    if not dated and not row.get("swap"):
        raise PolicyError(f"type {row.get('type')!r} is none that is read")
    imported.list(
        symbol,
        Instrument(
            kind=InstrumentKind.FUTURE if dated else InstrumentKind.PERPETUAL,
            base=base,
            settle=settle,
            payoff=Payoff.INVERSE if row.get("inverse") else Payoff.LINEAR,
            multiplier=size,
            tiers=symbol,
            expiry=moment(row, "expiry") if dated else None,
            **steps,
        ),
    )
    imported.named[name] = imported.listed[symbol]


def _option(
    imported: Imported,
    name: str,
    row: Row,
    *,
    base: str,
    settle: str,
    right: str,
    multiplier: Decimal = ONE,
    sizes: Steps,
) -> None:
    side = _RIGHTS.get(right.lower())
    if side is None:
        raise PolicyError(f"{right!r} is neither a call nor a put")
    words = name.split("-")
    times = [it for it in ("expiration_timestamp", "expTime", "deliveryTime", "expiry") if row.get(it)]
    expiry = moment(row, times[0]) if times else named_day(words[1]) if len(words) >= _OPTION_WORDS else None
    if expiry is None:
        raise PolicyError("no time of expiry")
    strikes = [it for it in ("strike", "stk") if row.get(it)]
    if not strikes and len(words) < _OPTION_WORDS:
        raise PolicyError("no strike")
    strike = positive(row, strikes[0]) if strikes else positive({"strike": words[2]}, "strike")
    imported.list(
        name,
        Instrument(
            kind=InstrumentKind.OPTION,
            base=base,
            settle=settle,
            multiplier=multiplier,
            tiers=name,
            expiry=expiry,
            strike=strike,
            right=side,
            **sizes,
        ),
    )


def _payoff(row: Row, name: str, inverse: str) -> Payoff:
    said = word(row, name)
    if said not in (inverse, "linear"):
        raise PolicyError(f"{name} {said!r} is neither {inverse} nor linear")
    return Payoff.INVERSE if said == inverse else Payoff.LINEAR


def _tick(precision: object, name: str) -> Decimal:
    """A size of ccxt; above 1 it may as well count decimal places, so it is none."""
    size = step(precision, name) if isinstance(precision, dict) else ZERO
    return size if size <= 1 else ZERO
