"""What venues and libraries answer to policy text: made-up answers in their shapes, their errors, and rows that are bad."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.policy import Policy, PolicyError, parse
from engine.policy.reading.imported import Conversion
from engine.policy.reading.venue_imports import venue_policy


def converted(*documents: Any, **prices: int) -> Conversion:
    texts = [it if isinstance(it, str) else json.dumps(it) for it in documents]
    return venue_policy(
        "imported", texts, {name.replace("_", "-"): Decimal(it) for name, it in prices.items()}
    )


def policy_of(*documents: Any, **prices: int) -> Policy:
    return parse(converted(*documents, **prices).text)


def with_tiers(text: str, *symbols: str) -> Policy:
    """The instruments of a file with a table for each of `symbols` written beside them."""
    row = "[{ floor = 0, maintenance_rate = 0.01, initial_rate = 0.02 }]"
    return parse(text + "[tiers]\n" + "".join(f'"{symbol}" = {row}\n' for symbol in symbols))


def refused(*documents: Any) -> str:
    with pytest.raises(PolicyError) as told:
        converted(*documents)
    return str(told.value)


def limit(
    symbol: str, cap: str, maintenance: str, initial: str, leverage: str, deduction: str = ""
) -> dict[str, Any]:
    return {
        "id": 1,
        "symbol": symbol,
        "riskLimitValue": cap,
        "maintenanceMargin": maintenance,
        "initialMargin": initial,
        "maxLeverage": leverage,
        "mmDeduction": deduction,
    }


def limits(*rows: Any, category: str = "linear") -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": {"category": category, "list": list(rows)}}


def linear(symbol: str = "SOLUSDT", **other: Any) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "baseCoin": "SOL",
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "deliveryTime": "0",
        "priceFilter": {"tickSize": "0.01"},
        "lotSizeFilter": {"qtyStep": "0.1"},
    } | other


FIRST = limit("SOLUSDT", "1000000", "0.01", "0.02", "50")
SECOND = limit("SOLUSDT", "3000000", "0.02", "0.04", "25", "10000")


@pytest.mark.parametrize("percent", [False, True])
def test_bybit_limits_when_answered_then_each_row_holds_up_to_its_value(*, percent: bool) -> None:
    rows = [FIRST, SECOND]
    if percent:
        rows = [
            row | {name: str(Decimal(row[name]) * 100) for name in ("maintenanceMargin", "initialMargin")}
            for row in rows
        ]
    tiers = policy_of(limits(*reversed(rows))).tiers["SOLUSDT"]
    assert [tier.floor for tier in tiers] == [0, 1_000_000]
    assert [tier.maintenance_rate for tier in tiers] == [Decimal("0.01"), Decimal("0.02")]
    assert [tier.initial_rate for tier in tiers] == [Decimal("0.02"), Decimal("0.04")]
    assert [tier.deduction for tier in tiers] == [0, 10_000]  # 1,000,000 * (0.02 - 0.01)


def test_bybit_limits_when_inverse_then_contracts_of_a_dollar_in_coin() -> None:
    instrument = policy_of(
        limits(limit("BTCUSD", "150", "0.005", "0.01", "100"), category="inverse")
    ).instruments["BTCUSD"]
    assert (instrument.payoff, instrument.settle, instrument.multiplier) == ("inverse", "BTC", 1)


def test_bybit_when_limits_and_instruments_then_a_policy_with_steps() -> None:
    policy = policy_of(limits(linear()), limits(FIRST, SECOND))
    assert policy.instruments["SOLUSDT"].quantity_step == Decimal("0.1")
    assert len(policy.tiers["SOLUSDT"]) == 2


def test_bybit_option_when_listed_then_its_name_says_strike_and_right() -> None:
    row = linear(
        "ETH-26JUN26-16000-P",
        optionsType="Put",
        baseCoin="ETH",
        settleCoin="USDC",
        deliveryTime="1782460800000",
    )
    del row["contractType"]
    text = converted(limits(row)).text
    assert "strike = 16000" in text
    assert 'right = "put"' in text
    assert "expiry = 2026-06-26T08:00:00+00:00" in text


def okx(symbol: str = "ETH-USDT-SWAP", **other: Any) -> dict[str, Any]:
    return {
        "instId": symbol,
        "instType": "SWAP",
        "instFamily": "ETH-USDT",
        "uly": "ETH-USDT",
        "ctType": "linear",
        "ctVal": "0.1",
        "ctMult": "1",
        "settleCcy": "USDT",
        "expTime": "",
        "lotSz": "0.01",
        "tickSz": "0.05",
    } | other


def sizes(*rows: tuple[str, str, str, str], family: str = "ETH-USDT") -> dict[str, Any]:
    names = ("minSz", "maxSz", "mmr", "imr")
    return {
        "code": "0",
        "msg": "",
        "data": [{"instFamily": family, "uly": family} | dict(zip(names, it, strict=True)) for it in rows],
    }


TIERS = sizes(("0", "1000", "0.01", "0.02"), ("1001", "5000", "0.02", "0.04"))


def test_okx_when_instruments_then_contract_value_times_multiplier() -> None:
    inverse = okx(
        "BTC-USD-260327",
        instType="FUTURES",
        uly="BTC-USD",
        instFamily="BTC-USD",
        ctType="inverse",
        ctVal="100",
        settleCcy="BTC",
    )
    inverse["expTime"] = "1774598400000"
    text = converted({"code": "0", "data": [okx(), inverse]}).text
    policy = with_tiers(text, "ETH-USDT-SWAP", "BTC-USD-260327")
    assert policy.instruments["ETH-USDT-SWAP"].multiplier == Decimal("0.1")
    future = policy.instruments["BTC-USD-260327"]
    assert (future.payoff, future.multiplier, future.settle) == ("inverse", 100, "BTC")
    assert future.expiry == datetime(2026, 3, 27, 8, tzinfo=UTC)


def test_okx_tiers_when_a_price_is_given_then_contracts_become_notional() -> None:
    tiers = policy_of({"code": "0", "data": [okx()]}, TIERS, ETH_USDT=3000).tiers["ETH-USDT-SWAP"]
    assert [tier.floor for tier in tiers] == [0, 300_300]  # 1,001 contracts * 0.1 ETH * 3,000
    assert [tier.initial_rate for tier in tiers] == [Decimal("0.02"), Decimal("0.04")]


def test_okx_tiers_when_something_is_missing_then_it_is_asked_for() -> None:
    assert "ETH-USDT: tiers are in contracts, and notional needs the file of OKX's instruments" in refused(
        TIERS
    )
    _, left_out = converted({"code": "0", "data": [okx()]}, TIERS)
    assert left_out == ("ETH-USDT: tiers are in contracts, and notional needs --price ETH-USDT=PRICE",)


def test_deribit_when_listed_then_quantities_in_contracts_and_a_combo_is_told() -> None:
    future = {
        "instrument_name": "ETH-PERPETUAL",
        "kind": "future",
        "instrument_type": "reversed",
        "settlement_period": "perpetual",
        "base_currency": "ETH",
        "settlement_currency": "ETH",
        "contract_size": 10.0,
        "min_trade_amount": 50.0,
        "tick_size": 0.05,
    }
    option = future | {
        "instrument_name": "ETH-27MAR26-3000-C",
        "kind": "option",
        "option_type": "call",
        "strike": 3000.0,
        "expiration_timestamp": 1774598400000,
        "contract_size": 1.0,
        "min_trade_amount": 1.0,
        "settlement_period": "month",
    }
    combo = {"instrument_name": "ETH-FS-1", "kind": "future_combo", "contract_size": 1.0}
    text, left_out = converted({"jsonrpc": "2.0", "result": [future, option, combo]})
    assert left_out == ("ETH-FS-1: kind 'future_combo' is no contract of its own",)
    call = text[text.index("[instruments.ETH-27MAR26-3000-C]") : text.index("[instruments.ETH-PERPETUAL]")]
    assert 'kind = "option"' in call
    assert "strike = 3000" in call
    assert 'right = "call"' in call
    perpetual = with_tiers(text.replace(call, ""), "ETH-PERPETUAL").instruments["ETH-PERPETUAL"]
    assert (perpetual.payoff, perpetual.multiplier, perpetual.quantity_step) == ("inverse", 10, 5)


@pytest.mark.parametrize("wrapped", [False, True])
def test_hyperliquid_when_meta_then_half_of_the_initial_rate_maintains(*, wrapped: bool) -> None:
    meta = {
        "universe": [
            {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56},
            {"name": "kPEPE", "szDecimals": 0, "maxLeverage": 10, "marginTableId": 10},
            {"name": "OLD", "szDecimals": 1, "maxLeverage": 3, "isDelisted": True},
        ],
        "marginTables": [
            [
                56,
                {
                    "marginTiers": [
                        {"lowerBound": "0.0", "maxLeverage": 40},
                        {"lowerBound": "150000000.0", "maxLeverage": 20},
                    ]
                },
            ]
        ],
    }
    text, left_out = converted([meta, [{"markPx": "1"}]] if wrapped else meta)
    policy = parse(text)
    assert left_out == ("OLD: delisted",)
    assert [tier.maintenance_rate for tier in policy.tiers["BTC"]] == [Decimal("0.0125"), Decimal("0.025")]
    assert [tier.floor for tier in policy.tiers["BTC"]] == [0, 150_000_000]
    assert policy.tiers["kPEPE"][0].initial_rate == Decimal("0.1")
    assert (policy.instruments["BTC"].quantity_step, policy.instruments["BTC"].settle) == (
        Decimal("0.00001"),
        "USDC",
    )


@pytest.mark.parametrize("tables", [{}, {"marginTables": [[55, {"marginTiers": []}]]}])
def test_hyperliquid_when_a_margin_table_is_missing_then_that_row_is_told(tables: dict[str, Any]) -> None:
    rows = [
        {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 55},
        {"name": "ETH", "szDecimals": 4, "maxLeverage": 25, "marginTableId": 25},
    ]
    text, left_out = converted({"universe": rows} | tables)
    assert left_out == ("BTC: its margin table 55 is not in the file",)
    assert list(parse(text).instruments) == ["ETH"]


def market(**other: Any) -> dict[str, Any]:
    return {
        "id": "SOL-USDT-SWAP",
        "symbol": "SOL/USDT:USDT",
        "base": "SOL",
        "quote": "USDT",
        "settle": "USDT",
        "type": "swap",
        "contract": True,
        "swap": True,
        "inverse": False,
        "contractSize": 1.0,
        "precision": {"amount": 0.01, "price": 1e-05},
    } | other


@pytest.mark.parametrize("as_list", [False, True])
def test_ccxt_when_markets_and_tiers_then_the_venues_own_names(*, as_list: bool) -> None:
    spot = market(id="SOL-USDT", symbol="SOL/USDT", type="spot", contract=False, swap=False, settle=None)
    markets = [market(), spot] if as_list else {"SOL/USDT:USDT": market(), "SOL/USDT": spot}
    tiers = {
        "SOL/USDT:USDT": [
            {
                "tier": 1,
                "minNotional": 0,
                "maintenanceMarginRate": 0.01,
                "maxLeverage": 50,
                "info": {"imr": "0.02"},
            }
        ]
    }
    text, left_out = converted(markets, tiers)
    policy = parse(text)
    assert policy.instruments["SOL-USDT-SWAP"].price_step == Decimal("0.00001")
    assert policy.tiers["SOL-USDT-SWAP"][0].initial_rate == Decimal("0.02")
    assert left_out == ("\"SOL/USDT\": type 'spot' is no contract",)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, "-2015: Invalid API-key"),
        ({"retCode": 10003, "retMsg": "API key is invalid.", "result": {}}, "10003: API key is invalid."),
        ({"code": "50011", "msg": "Too Many Requests", "data": []}, "50011: Too Many Requests"),
        ({"jsonrpc": "2.0", "error": {"code": 13009, "message": "unauthorized"}}, "13009: unauthorized"),
        ({"error": ["EGeneral:Permission denied"]}, "EGeneral:Permission denied"),
        ({"result": "error", "error": "apiLimitExceeded"}, "apiLimitExceeded"),
        ({"label": "INVALID_KEY", "message": "Invalid key provided"}, "INVALID_KEY: Invalid key provided"),
        ({"success": False, "code": 602, "message": "Signature failed"}, "602: Signature failed"),
        ({"code": 0, "msg": "Service unavailable from a restricted location"}, "restricted location"),
        ([{"code": -1121, "msg": "Invalid symbol."}], "-1121: Invalid symbol."),
        ({"code": "429000"}, "429000: no reason is given"),
        ({"code": "50000", "msg": "", "data": []}, "50000: no reason is given"),
        ({"message": "NotFound"}, "NotFound"),
        ({"error": 1015}, "1015: no reason is given"),
        ({"errors": [{"code": 3, "message": "bad"}]}, "3: bad"),
        (
            {"status": "err", "response": "User or API Wallet does not exist."},
            "User or API Wallet does not exist.",
        ),
    ],
)
def test_error_of_a_venue_when_kept_as_a_file_then_it_is_told_as_that(document: Any, words: str) -> None:
    said = refused(document)
    assert said.startswith("the venue answered with an error and no data: ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("<html><body>403</body></html>", "a web page (HTML)"),
        ("symbol,price\nBTC,1\n", "not JSON"),
        ("null", "the file is nothing"),
        ("[[1, 2], [3]]", "the file is a list of 2, the first a list of 2"),
        ('{"e": "markPriceUpdate", "s": "BTCUSDT"}', "the file is an object with e, s. Read are: "),
        ('{"data": [{"ask": 1}]}', "data is a list of 1, the first an object with ask. Read are: "),
    ],
)
def test_file_when_in_no_shape_then_what_it_looks_like_and_what_is_read(text: str, words: str) -> None:
    said = refused(text)
    assert said.startswith("not in a shape this reads")
    assert words in said


def listed(symbol: str, **other: Any) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.1"},
            {"filterType": "LOT_SIZE", "stepSize": "0.01"},
        ],
    } | other


BRACKET = {"notionalFloor": 0, "initialLeverage": 50, "maintMarginRatio": 0.01, "cum": 0}


META = {"universe": [{"name": "BTC", "szDecimals": 5, "maxLeverage": 40}]}


def option(**other: Any) -> dict[str, Any]:
    """One of Bybit's."""
    return linear("ETH-26JUN26-3000-P", optionsType="Put", baseCoin="ETH", deliveryTime="") | other


@pytest.mark.parametrize("kept", ["as answered", "inner", "rows", "pages", "result", "data"])
def test_answer_when_its_envelope_was_taken_off_or_another_put_around_then_its_rows_are_read(
    kept: str,
) -> None:
    rows = [
        limit("ETHUSD", "100", "0.01", "0.02", "50"),
        limit("SOLUSDT", "100", "0.01", "0.02", "50"),
    ]
    inner = {"list": rows} if kept in {"inner", "rows"} else {"category": "linear", "list": rows[1:]}
    answer: Any = {"retCode": 0, "retMsg": "OK", "result": inner}
    kinds = {
        "as answered": answer,
        "inner": inner,
        "rows": rows,
        "pages": [answer, limits(rows[0], category="inverse")],
        "result": {"result": answer},
        "data": {"data": [inner], "more": False} if kept == "pages" else {"data": answer},
    }
    policy = policy_of(kinds[kept])
    payoffs = {name: it.payoff.value for name, it in policy.instruments.items()}
    inverse = {"ETHUSD": "inverse"} if kept in {"inner", "rows", "pages"} else {}
    assert payoffs == {"SOLUSDT": "linear"} | inverse


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([linear()], "SOLUSDT"),
        ([META["universe"][0]], "BTC"),
        ({"result": META}, "BTC"),
        ({"result": [{"symbol": "AUSDT", "brackets": [BRACKET]}]}, "AUSDT"),
        ({"data": {"symbols": [listed("AUSDT")]}}, "AUSDT"),
        ([listed("AUSDT")], "AUSDT"),
    ],
)
def test_rows_when_they_stand_elsewhere_than_the_venue_puts_them_then_known_by_their_keys(
    rows: Any, name: str
) -> None:
    text = converted(rows).text
    policy = parse(text) if "\n[tiers]" in text else with_tiers(text, name)
    assert list(policy.instruments) == [name]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (option(symbol="PUT"), "PUT: no time of expiry"),
        (option(symbol="PUT", deliveryTime="1780000000000"), "PUT: no strike"),
        (option(symbol="ETH-26JUN26-0-P"), "strike must be > 0"),
        (option(symbol="ETH-26JUN26-x-P"), "strike 'x' is not a number"),
    ],
)
def test_option_when_nothing_says_a_strike_above_zero_then_its_row_is_told(
    row: dict[str, Any], words: str
) -> None:
    text, left_out = converted({"result": {"list": [linear(), row]}})
    assert text.count("[instruments.") == 1
    assert words in left_out[0]


def test_rows_when_some_are_bad_then_each_is_one_message_and_the_others_are_imported() -> None:
    rows = [
        {"symbol": "AAAUSDT", "brackets": [BRACKET]},
        {"symbol": "AAAEUR", "brackets": [BRACKET]},
        {"symbol": "BBBUSDT", "brackets": []},
        {"symbol": "CCCUSDT", "brackets": [BRACKET | {"cum": 5}]},
        {"symbol": "DDDUSDT", "brackets": [BRACKET | {"maintMarginRatio": "x"}]},
        {"symbol": "AAAUSDT", "brackets": [BRACKET]},
        7,
        {"symbol": "EEEUSDT", "brackets": [BRACKET]},
    ]
    text, left_out = converted(rows)
    assert set(parse(text).instruments) == {"AAAUSDT", "EEEUSDT"}
    assert [it.partition(":")[0] for it in left_out] == [
        "AAAEUR",
        "BBBUSDT",
        "DDDUSDT",
        "AAAUSDT",
        '"row 7"',
        "CCCUSDT",
    ]
    assert "AAAEUR: which part is the quote asset?" in left_out
    assert all(f"# Left out: {it}" in text for it in left_out)


def test_exchange_information_when_it_lists_stocks_then_their_perpetuals_are_imported_too() -> None:
    stock = listed("TSLAUSDT", contractType="TRADIFI_PERPETUAL")
    odd = listed("XUSDT", contractType="WEEKLY_SOMETHING")
    broken = listed("YUSDT", filters=None)
    text, left_out = converted({"symbols": [listed("AAAUSDT"), stock, odd, broken]})
    assert set(with_tiers(text, "AAAUSDT", "TSLAUSDT").instruments) == {"AAAUSDT", "TSLAUSDT"}
    assert left_out == (
        "XUSDT: contract type 'WEEKLY_SOMETHING'",
        "YUSDT: no stepSize in a LOT_SIZE filter",
    )


def test_spot_information_when_imported_then_told_as_that() -> None:
    spot = {
        "symbol": "ETHBTC",
        "baseAsset": "ETH",
        "quoteAsset": "BTC",
        "isSpotTradingAllowed": True,
        "filters": [],
    }
    assert "ETHBTC: a spot pair, no contract" in refused({"symbols": [spot]})


def test_bybit_limits_when_dated_in_usdc_then_the_day_of_its_name() -> None:
    instrument = policy_of(limits(limit("BTC-27DEC30", "100", "0.005", "0.01", "100"))).instruments[
        "BTC-27DEC30"
    ]
    assert (instrument.kind, instrument.base, instrument.settle) == ("future", "BTC", "USDC")
    assert instrument.expiry == datetime(2030, 12, 27, 8, tzinfo=UTC)


JUNK = (None, 7, "x", [], {}, [[]], {"a": None}, True)


@pytest.mark.parametrize("junk", JUNK, ids=repr)
@pytest.mark.parametrize(
    "name", ["bybit", "limits", "okx", "okx_tiers", "deribit", "hyperliquid", "filters", "brackets", "ccxt"]
)
def test_field_when_it_is_junk_then_that_row_is_told_and_never_a_traceback(name: str, junk: Any) -> None:
    good: dict[str, Any] = {
        "bybit": linear(),
        "limits": FIRST,
        "okx": okx(),
        "okx_tiers": TIERS["data"][0],
        "deribit": {
            "instrument_name": "A-PERPETUAL",
            "kind": "future",
            "instrument_type": "linear",
            "contract_size": 1,
        }
        | {
            "min_trade_amount": 1,
            "base_currency": "A",
            "settlement_currency": "USDC",
            "settlement_period": "month",
        },
        "hyperliquid": {"name": "A", "szDecimals": 1, "maxLeverage": 5, "marginTableId": 1},
        "filters": listed("AAAUSDT"),
        "brackets": {"symbol": "AAAUSDT", "brackets": [BRACKET]},
        "ccxt": market(),
    }[name]
    wrap = {
        "bybit": limits,
        "limits": limits,
        "okx": lambda *rows: {"code": "0", "data": list(rows)},
        "okx_tiers": lambda *rows: {"code": "0", "data": list(rows)},
        "deribit": lambda *rows: {"result": list(rows)},
        "hyperliquid": lambda *rows: {
            "universe": list(rows),
            "marginTables": [junk, [1, junk], [1, {"marginTiers": junk}]],
        },
        "filters": lambda *rows: {"symbols": list(rows)},
        "brackets": lambda *rows: list(rows),
        "ccxt": lambda *rows: list(rows),
    }[name]
    for field in good:
        rows = [good, good | {field: junk}, {key: it for key, it in good.items() if key != field}, junk]
        try:
            text, left_out = converted(wrap(*rows), {"code": "0", "data": [okx()]}, ETH_USDT=3000)
        except PolicyError:
            continue
        assert text
        assert all("\n" not in it for it in left_out)
