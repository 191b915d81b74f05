"""Venue files to policy text: every shape that is read, what is refused, and real files where they are at hand."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.policy import PolicyError, parse
from engine.policy.reading.venue_imports import venue_policy

DATA = Path(__file__).parents[4] / "shared" / "data"
"""Real files, where this checkout has them beside it."""


def brackets_policy(text: str) -> str:
    return venue_policy("binance-brackets", [text], {}).text


def filters_policy(*texts: str) -> str:
    return venue_policy("instrument-filters", texts, {}).text


def bracket(
    floor: object, leverage: object, rate: object, cum: object, floor_key: str = "notionalFloor"
) -> Any:
    return {"bracket": 1, "initialLeverage": leverage, floor_key: floor, "maintMarginRatio": rate, "cum": cum}


def answer(*brackets: Any, symbol: str = "BTCUSDT") -> str:
    """What the exchange answers for one symbol."""
    return json.dumps([{"symbol": symbol, "notionalCoef": 1.5, "brackets": list(brackets)}])


FIRST = bracket(0, 125, 0.004, 0.0)
SECOND = bracket(50000, 100, 0.005, 50.0)


def listed(symbol: str = "BTCUSDT", **other: Any) -> dict[str, Any]:
    """One symbol of an exchange information."""
    return {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001"},
        ],
    } | other


def test_brackets_when_the_exchange_answered_then_tiers_with_its_own_deductions() -> None:
    policy = parse(brackets_policy(answer(SECOND, FIRST)))
    tiers = policy.tiers["BTCUSDT"]
    assert [tier.floor for tier in tiers] == [0, 50000]  # sorted, whatever the file's order
    assert [tier.maintenance_rate for tier in tiers] == [Decimal("0.004"), Decimal("0.005")]
    assert [tier.initial_rate for tier in tiers] == [Decimal("0.008"), Decimal("0.01")]  # 1/125, 1/100
    assert [tier.deduction for tier in tiers] == [0, 50]  # 50,000 * (0.005 - 0.004)
    instrument = policy.instruments["BTCUSDT"]
    assert (instrument.kind, instrument.base, instrument.settle) == ("perpetual", "BTC", "USDT")
    assert instrument.tiers == "BTCUSDT"


def test_brackets_when_asked_for_one_symbol_then_the_same_text() -> None:
    (only,) = json.loads(answer(FIRST, SECOND))
    assert brackets_policy(json.dumps(only)) == brackets_policy(answer(FIRST, SECOND))


@pytest.mark.parametrize(
    ("symbol", "name", "kind", "base", "settle"),
    [
        ("BTC/USDT:USDT", "BTCUSDT", "perpetual", "BTC", "USDT"),
        ("BTC/USDC:USDC", "BTCUSDC", "perpetual", "BTC", "USDC"),
        ("ETH/BTC:BTC", "ETHBTC", "perpetual", "ETH", "BTC"),
        ("RAY/USDT", "RAYUSDT", "perpetual", "RAY", "USDT"),
        ("1000BONKUSDC", "1000BONKUSDC", "perpetual", "1000BONK", "USDC"),
        ("BTC/USDT:USDT-250328", "BTCUSDT_250328", "future", "BTC", "USDT"),
        ("BTCUSDT_250328", "BTCUSDT_250328", "future", "BTC", "USDT"),
    ],
)
def test_brackets_when_kept_by_a_library_then_the_venues_symbol(
    symbol: str, name: str, kind: str, base: str, settle: str
) -> None:
    as_text = bracket("0", "20", "0.025", "0.0")
    policy = parse(brackets_policy(json.dumps({symbol: [{"tier": 1, "maxLeverage": 20, "info": as_text}]})))
    instrument = policy.instruments[name]
    assert (instrument.kind, instrument.base, instrument.settle) == (kind, base, settle)
    expiry = datetime(2025, 3, 28, 8, tzinfo=UTC) if kind == "future" else None
    assert instrument.expiry == expiry


@pytest.mark.parametrize(("symbol", "contract"), [("BTCUSD_PERP", 100), ("ETHUSD_PERP", 10)])
def test_brackets_when_coin_margined_then_inverse_with_floors_in_coin(symbol: str, contract: int) -> None:
    rows = [bracket(0, 125, 0.004, 0, "qtyFloor"), bracket(5, 100, 0.005, "0.005", "qtyFloor")]
    policy = parse(brackets_policy(answer(*rows, symbol=symbol)))
    instrument = policy.instruments[symbol]
    assert (instrument.payoff, instrument.settle, instrument.multiplier) == ("inverse", symbol[:3], contract)
    assert [tier.floor for tier in policy.tiers[symbol]] == [0, 5]  # 5 * (0.005 - 0.004) = 0.005 joins


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not in a shape"),
        ("{", "not in a shape"),
        ("[]", "the file is a list of 0"),
        ("{}", "the file is an object with nothing"),
        ('{"a": 1}', "not in a shape this reads: the file is an object with a. Read are: leverage brackets"),
        (
            answer({"initialLeverage": 1, "maintMarginRatio": 0.5, "cum": 0}),
            "neither notionalFloor nor qtyFloor",
        ),
        (answer(), "BTCUSDT: no brackets"),
        (answer(FIRST, symbol="BTCEUR"), "BTCEUR: which part"),
        (answer(FIRST, symbol="USDT"), "USDT: which part"),
        (answer(FIRST, symbol="BTCUSDT_2503"), "YYMMDD"),
        (answer(FIRST, symbol="BTCUSDT_251399"), "YYMMDD"),
        (answer(bracket(0, 0, 0.004, 0)), "initialLeverage must be > 0"),
        (answer(bracket(0, "NaN", 0.004, 0)), "initialLeverage is not a finite number"),
        (answer(bracket(0, 125, "Infinity", 0)), "maintMarginRatio is not a finite number"),
        (answer(bracket(0, 125, "much", 0)), "maintMarginRatio"),
        (answer(bracket(0, 125, 0.01, 0)), "tiers.BTCUSDT[0]: need 0 < maintenance_rate <= initial_rate"),
        (answer(FIRST, bracket(50000, 100, 0.005, 51)), "deduction 51 at floor 50000"),
        (answer(bracket(1, 125, 0.004, 0)), "the first tier must have floor 0"),
    ],
)
def test_brackets_when_the_file_is_bad_then_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(PolicyError) as told:
        brackets_policy(text)
    assert words in str(told.value)


def test_filters_when_the_exchange_answered_then_steps_and_names_of_tier_tables() -> None:
    coin = listed(
        "ETHUSD_250328",
        contractType="CURRENT_QUARTER",
        baseAsset="ETH",
        quoteAsset="USD",
        marginAsset="ETH",
        deliveryDate=1743148800000,  # 2025-03-28 08:00 UTC
        contractSize=10,
    )
    text = filters_policy(json.dumps({"timezone": "UTC", "symbols": [listed(), coin]}))
    row = "[{ floor = 0, maintenance_rate = 0.01, initial_rate = 0.02 }]"
    policy = parse(f"{text}[tiers]\nBTCUSDT = {row}\nETHUSD_250328 = {row}\n")
    straight, inverse = policy.instruments["BTCUSDT"], policy.instruments["ETHUSD_250328"]
    assert (straight.quantity_step, straight.price_step) == (Decimal("0.001"), Decimal("0.1"))
    assert (inverse.kind, inverse.payoff, inverse.multiplier) == ("future", "inverse", 10)
    assert inverse.expiry == datetime(2025, 3, 28, 8, tzinfo=UTC)
    with pytest.raises(PolicyError, match="is not in tiers"):
        parse(text)


def test_filters_when_given_brackets_then_only_what_both_files_know() -> None:
    info = json.dumps({"symbols": [listed(), listed("NEWUSDT", baseAsset="NEW")]})
    brackets = json.dumps({"BTC/USDT:USDT": [{"info": FIRST}], "OLD/USDT:USDT": [{"info": FIRST}]})
    text = filters_policy(info, brackets)
    policy = parse(text)
    assert set(policy.instruments) == {"BTCUSDT"}
    assert set(policy.tiers) == {"BTCUSDT"}
    assert "# Left out: NEWUSDT: no brackets" in text


def test_filters_when_a_digest_then_the_same_instruments() -> None:
    digest = {
        "BTCUSDT": {
            "base_asset": "BTC",
            "quote_asset": "USDT",
            "tick_size": 0.1,
            "step_size": 0.001,
            "max_leverage": 20,
        }
    }
    assert filters_policy(json.dumps(digest)) == filters_policy(json.dumps({"symbols": [listed()]}))


def test_filters_when_a_symbol_tries_to_end_the_comment_then_it_stays_a_comment() -> None:
    evil = listed('X\nname = "evil"', contractType="")
    text = filters_policy(json.dumps({"symbols": [listed(), evil]}), answer(FIRST))
    assert parse(text).name == "instrument-filters"
    assert r"X\nname" in text


def test_filters_when_symbol_is_not_ascii_then_a_quoted_key() -> None:
    info = json.dumps({"symbols": [listed("币USDT", baseAsset='币"')]})
    text = filters_policy(info, json.dumps([{"symbol": "币USDT", "brackets": [FIRST]}]))
    assert parse(text).instruments["币USDT"].base == '币"'


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ([], "not in a shape"),
        ({}, "the file is an object with nothing"),
        ({"symbols": []}, "the file is an object with symbols; symbols is a list of 0"),
        ({"symbols": [{"symbol": "BTCUSDT", "baseAsset": "BTC"}]}, "contractType is missing"),
        ({"symbols": [listed(filters=[])]}, "BTCUSDT: no stepSize in a LOT_SIZE filter"),
        ({"symbols": [listed(filters=[{"filterType": "LOT_SIZE"}])]}, "BTCUSDT: no stepSize"),
        (
            {"symbols": [listed(filters=[{"filterType": "LOT_SIZE", "stepSize": "NaN"}])]},
            "BTCUSDT: stepSize is not a finite number",
        ),
        ({"symbols": [listed(contractType="NEXT_QUARTER", deliveryDate=10**18)]}, "is no time"),
        ({"BTCUSDT": {"base_asset": "BTC", "quote_asset": 7}}, "quote_asset is 7, a word is needed"),
    ],
)
def test_filters_when_the_file_is_bad_then_refused_by_name(item: object, words: str) -> None:
    with pytest.raises(PolicyError) as told:
        filters_policy(json.dumps(item))
    assert words in str(told.value)


def real(*patterns: str) -> list[str]:
    """The texts of the real files at hand; none where the checkout stands alone."""
    return [file.read_text("utf-8") for pattern in patterns for file in sorted(DATA.glob(pattern))]


def test_brackets_when_real_then_every_symbol_and_no_jump() -> None:
    for text in real("leverage_tiers_*.json"):
        policy, source = parse(brackets_policy(text)), json.loads(text)
        assert len(policy.instruments) == len(source)
        assert sum(map(len, policy.tiers.values())) == sum(map(len, source.values()))


def test_filters_when_real_then_the_common_symbols_load_with_their_steps() -> None:
    for brackets in real("leverage_tiers_*.json"):
        for filters in real("exchange_info_*.json", "instrument_filters_*.json"):
            policy = parse(filters_policy(filters, brackets))
            assert {"BTCUSDT", "ETHUSDT"} <= set(policy.instruments)
            assert all(it.quantity_step > 0 and it.price_step > 0 for it in policy.instruments.values())
