"""Recordings as people have them: symbols, times, columns, text and packing; the rows are made up in the venues' shapes."""

import bz2
import gzip
import io
import lzma
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.policy import Policy, parse
from streams.config.settings import load_policy, policy_text
from streams.config.shipped_policies import shipped_policy
from streams.exchange.feed_errors import FeedError, RecordingError
from streams.exchange.market.market_path import RecordedPath
from streams.exchange.market.recorded_layout import Reading
from streams.exchange.market.recording import Recording, told_left_out

TRADES = "ts_ms,symbol,price,qty\n"
T0 = 1_760_000_000_000
BTC = {"BTC-USD", "BTC-USDT-PERP"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


def of_coins(policy: Policy, base: str) -> Policy:
    """The policy, with the coin of its XRP contract called `base`."""
    text = policy_text(None).replace('base = "XRP"', f'base = "{base}"').replace("\nXRP = ", f'\n"{base}" = ')
    assert policy.name in text
    return parse(text)


def recorded(directory: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def prices(recording: Recording) -> list[tuple[int | None, str, Decimal]]:
    return [(mark.moment, mark.symbol, mark.price) for mark in recording]


def told(path: Path, policy: Policy, reading: Reading | None = None) -> str:
    with pytest.raises(FeedError) as caught:
        prices(Recording(path, policy, reading=reading))
    return str(caught.value)


@pytest.mark.parametrize(
    "symbol",
    [
        "BTC",
        "btc",
        "BTCUSDT",
        "btcusdt",
        "BTCUSD",
        "BTC-USDT",
        "BTC-USD-SWAP",
        "BTC-USDT-SWAP",
        "BTC_USDT",
        "BTC_USDC-PERPETUAL",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "BTC/USD:BTC",
        "BTC-PERPETUAL",
        "BTC-PERP",
        "BTCPERP",
        "BTCUSD_PERP",
        "BTCUSDT.P",
        "BINANCE:BTCUSDT",
        "XBTUSD",
        "XBT/USD",
        "XXBTZUSD",
        "PF_XBTUSD",
        "PI_XBTUSD",
        "BTCFDUSD",
        "BTC:USDT",
        "btc:usd",
        "pf_xbtusd",
        "tBTCUSD",
        "tBTCUST",
        "tBTCF0:USTF0",
        "BTCUSDTPERP",
        "BTCUSDT_UMCBL",
        "XBTUSDTM",
        "XBTUSDM",
        "BTC-PERP-INTX",
    ],
)
def test_symbol_when_it_names_the_coin_in_dollars_then_it_drives_contract_and_index(
    tmp_path: Path, policy: Policy, symbol: str
) -> None:
    played = prices(Recording(recorded(tmp_path, f"{TRADES}{T0},{symbol},100000.5,1\n"), policy))
    assert {symbol for _, symbol, _ in played} == BTC
    assert {price for *_, price in played} == {Decimal("100000.5")}


@pytest.mark.parametrize(
    "symbol",
    [
        "ETHBTC",
        "ETH-BTC",
        "BTC-EUR",
        "BTCEUR",
        "BTCTRY",
        "BTC-27DEC24",
        "BTC-27DEC24-100000-C",
        "BTCUSDT_250328",
        "BTC-USD-241220",
        "BTC/USDT:USDT-250328",
        "FI_XBTUSD_250328",
        "XBTZ25",
        "BTCDOMUSDT",
        "BTCUP",
        "NOBTC",
        "BTC:EUR",
        "tBTCEUR",
        "tETHBTC",
        "tBTCF0:USD",
        "BTCPERPM",
    ],
)
def test_symbol_when_its_price_is_of_another_kind_then_it_drives_nothing_and_the_accepted_forms_are_told(
    tmp_path: Path, policy: Policy, symbol: str
) -> None:
    said = told(recorded(tmp_path, f"{TRADES}{T0},{symbol},0.05,1\n"), policy)
    assert f"symbols not priced: {symbol}" in said
    assert "BTC-USDT-PERP" in said
    assert "BTC/USDT:USDT" in said
    assert "--map FROM=TO" in said


def test_own_symbols_when_both_are_recorded_then_each_drives_itself(tmp_path: Path, policy: Policy) -> None:
    rows = f"{T0},BTC-USDT-PERP,101,1\n{T0},BTC-USD,100,1\n{T0 + 1},btc-usdt-perp,103,1\n"
    scenario = Recording(recorded(tmp_path, TRADES + rows), policy, speed=1.0)
    assert prices(scenario) == [
        (T0, "BTC-USDT-PERP", Decimal(101)),
        (T0, "BTC-USD", Decimal(100)),
        *[(T0 + 1, "BTC-USDT-PERP", Decimal(103))] * (scenario._own["BTC-USDT-PERP"] == "btc-usdt-perp"),
    ]
    path = RecordedPath(Recording(recorded(tmp_path, TRADES + rows), policy, speed=1.0), policy)
    assert path.at(1.0)["BTC"] == 100.0


@pytest.mark.parametrize(
    ("name", "symbol", "driven"),
    [
        ("deribit-standard", "BTC-PERPETUAL", {"BTC-PERPETUAL", "BTC-USD", "BTC_USDC-PERPETUAL"}),
        ("binance-coinm", "btcusd_perp", {"BTCUSD_PERP"}),
        ("binance-coinm", "XBTUSD", {"BTCUSD_PERP"}),
        ("binance-coinm", "BTCUSD_261225", {"BTCUSD_261225"}),
        ("okx-portfolio", "BTC-USD-270326-100000-C", {"BTC-USD-270326-100000-C"}),
        ("okx-portfolio", "BTC-USDT-270326", {"BTC-USDT-270326"}),
    ],
)
def test_own_symbol_when_coin_margined_dated_or_an_option_then_it_is_played_as_well(
    tmp_path: Path, name: str, symbol: str, driven: set[str]
) -> None:
    policy = load_policy(shipped_policy(name))
    played = prices(Recording(recorded(tmp_path, f"{TRADES}{T0},{symbol},101,1\n"), policy))
    assert {symbol for _, symbol, _ in played} == driven


def test_map_when_it_names_a_dated_contract_of_the_policy_then_that_is_played(tmp_path: Path) -> None:
    path = recorded(tmp_path, f"{TRADES}{T0},BTCUSD_250328,101,1\n")
    reading = Reading(renamed={"BTCUSD_250328": "BTCUSD_261225"})
    played = prices(Recording(path, load_policy(shipped_policy("binance-coinm")), reading=reading))
    assert [(symbol, price) for _, symbol, price in played] == [("BTCUSD_261225", Decimal(101))]


def test_own_symbol_when_alone_then_the_others_of_its_coin_follow(tmp_path: Path, policy: Policy) -> None:
    played = prices(Recording(recorded(tmp_path, f"{TRADES}{T0},BTC-USDT-PERP,101,1\n"), policy))
    assert {symbol for _, symbol, _ in played} == BTC


@pytest.mark.parametrize(
    ("coin", "symbol", "price", "right"),
    [
        ("SHIB", "1000SHIBUSDT", "0.0125", "0.0000125"),
        ("SHIB", "SHIB1000USDT", "0.0125", "0.0000125"),
        ("SHIB", "kSHIB", "0.0125", "0.0000125"),
        ("SHIB", "1000SHIB/USDT:USDT", "0.0125", "0.0000125"),
        ("BABYDOGE", "1MBABYDOGEUSDT", "0.0015", "0.0000000015"),
        ("MOG", "1000000MOGUSDT", "0.5", "0.0000005"),
        ("1000SHIB", "1000SHIBUSDT", "0.0125", "0.0125"),
        ("1000SHIB", "SHIBUSDT", "0.0000125", "0.0125"),
        ("kSHIB", "1000SHIB-USDT", "0.0125", "0.0125"),
        ("1INCH", "1INCHUSDT", "0.25", "0.25"),
    ],
)
def test_symbol_when_it_means_many_of_a_coin_then_the_price_is_scaled(
    tmp_path: Path, policy: Policy, coin: str, symbol: str, price: str, right: str
) -> None:
    played = prices(
        Recording(recorded(tmp_path, f"{TRADES}{T0},{symbol},{price},1\n"), of_coins(policy, coin))
    )
    assert played == [(T0, "XRP-USDT-PERP", Decimal(right))]


def test_map_when_given_then_the_symbol_is_played_as_that(tmp_path: Path, policy: Policy) -> None:
    path = recorded(tmp_path, f"{TRADES}{T0},BTC-27DEC24,100,1\n{T0},FOO,3,1\n")
    reading = Reading(renamed={"BTC-27DEC24": "BTC-USDT-PERP", "FOO": "XRP"})
    assert {(symbol, price) for _, symbol, price in prices(Recording(path, policy, reading=reading))} == {
        ("BTC-USDT-PERP", Decimal(100)),
        ("BTC-USD", Decimal(100)),
        ("XRP-USDT-PERP", Decimal(3)),
    }


def test_map_when_it_renames_a_multiple_then_the_price_is_still_scaled(
    tmp_path: Path, policy: Policy
) -> None:
    path = recorded(tmp_path, f"{TRADES}{T0},1000SHIBUSDT,0.5,1\n")
    reading = Reading(renamed={"1000SHIBUSDT": "SHIB"})
    assert prices(Recording(path, of_coins(policy, "SHIB"), reading=reading))[0][2] == Decimal("0.0005")


def test_map_when_the_policy_does_not_price_that_then_the_nearest_is_told(
    tmp_path: Path, policy: Policy
) -> None:
    path = recorded(tmp_path, f"{TRADES}{T0},FOO,100,1\n")
    said = told(path, policy, Reading(renamed={"FOO": "BTC-USDT-PREP"}))
    assert "--map FOO=BTC-USDT-PREP: the policy prices no BTC-USDT-PREP; it prices BTC-USDT-PERP" in said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1760000000", "1760000001"),
        ("1760000000.25", "1760000001.75"),
        ("1760000000000", "1760000001000"),
        ("1760000000000000", "1760000001000001"),
        ("1760000000000000000", "1760000001000000001"),
        ("2025-10-09T08:53:20Z", "2025-10-09T08:53:21Z"),
        ("2025-10-09T10:53:20+02:00", "2025-10-09T10:53:21.000+02:00"),
        ("2025-10-09 08:53:20", "2025-10-09 08:53:21.000"),
        ("2025-10-09 08:53:20.5 UTC", "2025-10-09 08:53:21.123456789 UTC"),
        ("20251009T085320Z", "20251009T085321Z"),
        ("2025-10-09t08:53:20z", "2025-10-09t08:53:21z"),
        ("2025-10-09 08:53:20 utc", "2025-10-09 08:53:21 utc"),
        ("1760000000000.0", "1760000001000.75"),
        ("1760000000000", "1.760000001e+12"),
    ],
)
def test_times_when_in_any_known_unit_then_they_are_the_moments_meant(
    tmp_path: Path, policy: Policy, first: str, second: str
) -> None:
    rows = f"time,symbol,price\n{first},XRP,2,\n{second},XRP,3,\n".replace(",\n", "\n")
    moments = [moment for moment, *_ in prices(Recording(recorded(tmp_path, rows), policy))]
    begin = datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC).timestamp() * 1000
    assert [int(it or 0) // 1000 for it in moments] == [begin // 1000, begin // 1000 + 1]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("date,time,symbol,price", "2025-10-09,{},XRP,2"),
        ("Symbol,Price,Time,Date", "XRP,2,{},20251009"),
        ("Date,Time,Symbol,Open,High,Low,Close", "2025-10-09,{},XRP,2,2,2,2"),
    ],
)
def test_times_when_day_and_time_of_day_are_two_columns_then_they_are_one_time(
    tmp_path: Path, policy: Policy, head: str, row: str
) -> None:
    times = ("085320", "085420") if "20251009" in row else ("08:53:20", "08:54:20.000")
    text = "".join(f"{it}\n" for it in (head, *map(row.format, times)))
    begin = int(datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC).timestamp() * 1000)
    moments = [moment for moment, *_ in prices(Recording(recorded(tmp_path, text), policy))]
    assert {begin, begin + 60_000} <= set(moments)


def test_times_when_a_date_for_people_stands_beside_the_time_then_the_time_counts(
    tmp_path: Path, policy: Policy
) -> None:
    text = "date,time,symbol,price\nThu Oct 9,1760000000,XRP,2\n2025-10-09,1760000001,XRP,3\n"
    assert [moment for moment, *_ in prices(Recording(recorded(tmp_path, text), policy))] == [T0, T0 + 1000]


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        (
            "1760000000000",
            "1760000001",
            "line 3: time: time '1760000001' is in seconds, the file's first is in milliseconds",
        ),
        (
            "1760000000",
            "1760000001000",
            "line 3: time: time '1760000001000' is in milliseconds, the file's first is in seconds",
        ),
        ("1760000000", "2025-10-09 08:53:21", "is in ISO 8601, the file's first is in seconds"),
        ("2025-10-09", "1760000000", "is in seconds, the file's first is in ISO 8601"),
        (
            "12345",
            "12346",
            "line 2: time: time '12345' is in no unit that is known: accepted are ISO 8601, and seconds",
        ),
        ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", "is in no unit that is known"),
        ("08:53", "08:54", "is in no unit that is known"),
        ("", "1760000000", "line 2: time: time '' is in no unit that is known"),
        ("inf", "1760000000", "is in no unit that is known"),
        ("1760000000000", "1760000001.5", "is in seconds, the file's first is in milliseconds"),
        ("9" * 5_000, "1760000000", f"time '{'9' * 40}...' is in no unit"),
    ],
)
def test_times_when_the_unit_changes_or_is_not_known_then_line_and_unit_are_told(
    tmp_path: Path, policy: Policy, first: str, second: str, rule: str
) -> None:
    assert rule in told(recorded(tmp_path, f"time,symbol,price\n{first},XRP,2\n{second},XRP,2\n"), policy)


HEADS = {
    "BTCUSDT-1m-2025-10.csv": (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
        "1760000000000,101,103,99,102,5,1760000059999,500,7,2,200,0",
    ),
    "BTCUSDT-trades-2025-10-09.csv": (
        "id,price,qty,quote_qty,time,is_buyer_maker",
        "7,101,1,101,1760000000000,true",
    ),
    "BTCUSDT-aggTrades-2025-10-09.csv": (
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        "7,101,1,9,11,1760000000000,false",
    ),
    "deribit_trades_2025-10-09_BTC-PERPETUAL.csv": (
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
        "deribit,BTC-PERPETUAL,1760000000000000,1760000000004000,77,buy,101,10",
    ),
    "ticker.csv": (
        (
            "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,"
            "last_price,index_price,mark_price"
        ),
        "deribit,BTC-PERPETUAL,1760000000000000,1760000000004000,,0.0001,,9000,100.5,100.2,101",
    ),
    "Binance_BTCUSDT_1h.csv": (
        "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount",
        "1760000000000,2025-10-09 08:53:20,BTC/USDT,101,103,99,102,5,500,7",
    ),
    "BTCUSDT2025-10-09.csv": (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional",
        "1760000000.1234,BTCUSDT,Sell,0.1,101,PlusTick,ab-cd,1e9,0.1,10.1",
    ),
    "BTCUSDT_2025-10-09.csv": ("id,timestamp,price,volume,side", "7,1760000000000,101,1,buy"),
    "BTC-USDT-SWAP-trades-2025-10-09.csv": (
        "instrument_name,trade_id,side,price,size,created_time",
        "BTC-USDT-SWAP,7,buy,101,1,1760000000000",
    ),
    "XBTUSD.csv": ("time,open,high,low,close,vwap,volume,count", "1760000000,101,103,99,102,100,5,7"),
    "BINANCE_BTCUSDT, 60.csv": ("time,open,high,low,close,Volume", "1760000000,101,103,99,102,5"),
    "btc-usd-max.csv": ("snapped_at,price,market_cap,total_volume", "2025-10-09 08:53:20 UTC,101,1,1"),
    "BTC_2025.csv": (
        "timeOpen;timeClose;timeHigh;timeLow;open;high;low;close;volume;marketCap;timestamp",
        (
            '"2025-10-09T08:53:20.000Z";"2025-10-09T08:54:19.999Z";"2025-10-09T08:53:21Z";"2025-10-09T08:53:22Z";'
            '101;103;99;102;5;1;"2025-10-09T08:54:19.999Z"'
        ),
    ),
    "plain.csv": (
        "Timestamp,Symbol,Open,High,Low,Close,Volume",
        "2025-10-09 08:53:20,BTCUSD,101,103,99,102,5",
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_columns_when_of_a_format_that_is_known_then_its_rows_are_played(
    tmp_path: Path, policy: Policy, name: str
) -> None:
    played = prices(Recording(recorded(tmp_path, "\n".join(HEADS[name]) + "\n", name), policy))
    assert {symbol for _, symbol, _ in played} == BTC
    assert played[0][2] == 101
    assert (played[0][0] or 0) // 1000 == T0 // 1000


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("BTCUSDT-1m-2025-10.csv", "1760000000000000,101,103,99,102,5,1760000059999999,500,7,2,200,0"),
        ("BTCUSDT-trades-2025-10.csv", "7,101,1,101,1760000000000000,True,True"),
        ("BTCUSDT-trades-2025-10.csv", "7,101,1,101,1760000000000,true"),
        ("BTCUSDT-aggTrades-2025-10.csv", "7,101,1,9,11,1760000000000,True,True"),
        ("BTCUSDT-aggTrades-2025-10.csv", "7,101,1,9,11,1760000000000,false"),
        ("XBTUSD_1.csv", "1760000000,101,103,99,102,5,7"),
        ("XBTUSD.csv", "1760000000,101,5"),
    ],
)
def test_dump_when_it_has_no_header_then_its_first_row_is_played_too(
    tmp_path: Path, policy: Policy, name: str, row: str
) -> None:
    scenario = Recording(recorded(tmp_path, f"{row}\n", name), policy)
    assert {symbol for _, symbol, _ in prices(scenario)} == BTC
    assert scenario.start_prices["BTC-USD"] == 101
    assert scenario.start_ms // 1000 == T0 // 1000


@pytest.mark.parametrize(
    "name",
    [
        "rows.csv",
        "ETHBTC-1m.csv",
        "ETH-BTC-1m.csv",
        "BTC-EUR-1h.csv",
        "EUR_BTC.csv",
        "BTCUSDT_ETHUSDT.csv",
        "BTCEUR.csv",
    ],
)
def test_symbol_when_neither_rows_nor_name_have_one_in_dollars_then_it_is_asked_for(
    tmp_path: Path, policy: Policy, name: str
) -> None:
    path = recorded(tmp_path, "time,price\n1760000000,101\n", name)
    assert "--symbol SYMBOL" in told(path, policy)
    assert {it for _, it, _ in prices(Recording(path, policy, reading=Reading(symbol="BTCUSDT")))} == BTC


def test_symbol_when_rows_have_their_own_then_the_option_is_refused(tmp_path: Path, policy: Policy) -> None:
    path = recorded(tmp_path, f"{TRADES}{T0},BTC,100,1\n")
    assert "--symbol is for files that name none" in told(path, policy, Reading(symbol="ETH"))


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("when,what,level\n1760000000,BTC,101\n", {"time": "when", "symbol": "what", "price": "Level"}),
        ("1760000000,BTC,101\n", {"time": "1", "symbol": "2", "price": "3"}),
        (
            "t,what,o,h,l,c\n1760000000,BTC,101,102,99,100\n",
            {"time": "t", "symbol": "what", "open": "o", "high": "h", "low": "l", "close": "c"},
        ),
    ],
)
def test_columns_when_the_user_names_them_then_any_file_is_read(
    tmp_path: Path, policy: Policy, text: str, columns: dict[str, str]
) -> None:
    assert prices(Recording(recorded(tmp_path, text), policy, reading=Reading(columns=columns)))[0][2] == 101


def test_columns_when_not_there_or_not_enough_then_they_are_told(tmp_path: Path, policy: Policy) -> None:
    path = recorded(tmp_path, "when,what,level\n1760000000,BTC,101\n")
    assert "its columns are when, what, level" in told(
        path, policy, Reading(columns={"time": "t", "price": "level"})
    )
    assert "high, low, close is missing" in told(
        path, policy, Reading(columns={"time": "when", "open": "level"})
    )
    said = told(path, policy)
    assert "--columns time=NAME,symbol=NAME,price=NAME" in said
    assert "Binance klines" in said


ROWS = f"{TRADES}{T0},BTCUSDT,100000.5,1\r\n{T0 + 1},BTCUSDT,100001,1\r\n\r\n , , ,\n\n"


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_csv", ".csv"), text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.csv", ROWS.encode()),
        ("bom.csv", b"\xef\xbb\xbf" + ROWS.encode()),
        ("sixteen.csv", ROWS.encode("utf-16")),
        ("semicolon.csv", ROWS.replace(",", ";").encode()),
        ("tabs.tsv", ROWS.replace(",", "\t").encode()),
        ("quoted.csv", ROWS.replace("BTCUSDT", '"BTCUSDT"').replace("symbol", '"symbol"').encode()),
        ("spaces.csv", ROWS.replace(",", ", ").encode()),
        ("rows.csv.gz", gzip.compress(ROWS.encode())),
        ("gz_by_no_name.csv", gzip.compress(ROWS.encode())),
        ("plain_by_a_wrong_name.csv.gz", ROWS.encode()),
        ("rows.csv.bz2", bz2.compress(ROWS.encode())),
        ("rows.csv.xz", lzma.compress(ROWS.encode())),
        ("rows.zip", zipped(rows_csv=ROWS)),
        ("rows_and_more.zip", zipped(rows_csv=ROWS, CHECKSUM="abc", **{"__MACOSX/rows_csv": "x"})),
        ("rows_and_text.zip", zipped(rows_csv=ROWS, **{"README.txt": "a,b", "day/._rows_csv": "x"})),
        (
            "comments.csv",
            f"# made by hand\n{ROWS}# the end, at last\n".replace("\r\n", "\n# so far\n", 1).encode(),
        ),
        ("one_behind_the_other.csv", (ROWS + TRADES).encode()),
        ("separator.csv", f'"sep=;"\n{ROWS.replace(",", ";")}'.encode()),
    ],
)
def test_file_when_packed_or_written_otherwise_then_it_is_read(
    tmp_path: Path, policy: Policy, name: str, data: bytes
) -> None:
    scenario = Recording(recorded(tmp_path, data, name), policy)
    assert [price for _, symbol, price in prices(scenario) if symbol == "BTC-USD"] == [
        Decimal("100000.5"),
        100001,
    ]
    assert scenario.end_ms() == T0 + 1


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("two.zip", zipped(a_csv=ROWS, b_csv=ROWS), "has 2 files of rows, one is read: a.csv, b.csv"),
        ("empty.zip", zipped(a_csv=ROWS)[:40] + b"broken", "cannot be read"),
        ("rows.parquet", b"PAR1....", "it is a Parquet file"),
        ("rows.csv.zst", b"\x28\xb5\x2f\xfd....", "packed with zstd"),
        ("rows.xlsx", zipped(**{"[Content_Types].xml": "<a/>", "xl/a.xml": "<a/>"}), "it is an Excel file"),
        ("rows.tar", b"rows.csv" + bytes(504) + ROWS.encode(), "it has zero bytes: no text"),
        ("no_mark.csv", ROWS.encode("utf-16-le"), "text in UTF-16 or UTF-32 that does not say so"),
        ("nothing.csv", b"", "line 1: the file has no rows"),
        ("remarks.csv", b"# nothing\n\n", "line 1: the file has no rows"),
        ("page.csv", b"<html>" + b"x" * 9_000, f"the header '<html>{'x' * 194}...' is none of"),
        ("long.csv", f"{TRADES}{T0},BTC,{'1' * 9_000},1\n".encode(), f"price '{'1' * 60}' has more than 24"),
        (
            "comma.csv",
            f"{TRADES.replace(',', ';')}{T0};BTC;100,5;1\n".encode(),
            "line 2: price '100,5' is not a number: a decimal comma",
        ),
    ],
)
def test_file_when_it_cannot_be_read_then_it_is_told_what_it_is(
    tmp_path: Path, policy: Policy, name: str, data: bytes, rule: str
) -> None:
    assert rule in told(recorded(tmp_path, data, name), policy)


def test_rows_when_newest_first_then_they_are_played_oldest_first(tmp_path: Path, policy: Policy) -> None:
    rows = "".join(f"{T0 + 1000 * i},BTCUSD,{100 + i},1\n" for i in reversed(range(1_500)))
    scenario = Recording(recorded(tmp_path, TRADES + rows), policy, speed=1.0)
    moments = [moment for moment, symbol, _ in prices(scenario) if symbol == "BTC-USD"]
    assert moments == [T0 + 1000 * i for i in range(1_500)]
    assert scenario.start_prices["BTC-USD"] == 100
    assert scenario.end_ms() == T0 + 1_499_000


@pytest.mark.parametrize("price", ["", "NaN", "null", "#N/A", "0", "-5", "0.00"])
def test_rows_when_they_say_no_price_then_they_are_left_out_and_told(
    tmp_path: Path, policy: Policy, price: str
) -> None:
    rows = f"{T0},XRP,2,1\n{T0},XRP,{price},1\n{T0},XRP,{price},1\n{T0},XRP,3,1\n"
    scenario = Recording(recorded(tmp_path, TRADES + rows), policy)
    assert [price for *_, price in prices(scenario)] == [2, 3]
    (said,) = told_left_out([scenario])
    assert said.startswith("rows.csv: 2 rows left out: ")
    assert said.endswith("(the first in line 3)")


def test_jump_when_nothing_confirms_it_then_it_is_left_out_and_else_played(
    tmp_path: Path, policy: Policy
) -> None:
    values = ["2", "200", "2.1", "20.9", "0.01", "2.2", "0.1", "0.11", "0.12"]
    rows = "".join(f"{T0 + i},XRP,{value},1\n" for i, value in enumerate(values))
    scenario = Recording(recorded(tmp_path, TRADES + rows), policy)
    assert [price for *_, price in prices(scenario)] == [
        Decimal(it) for it in ("2", "2.1", "20.9", "2.2", "0.11", "0.12")
    ]
    (said,) = told_left_out([scenario])
    assert "3 rows left out: a price 10 times away" in said
    assert "line 3" in said


@pytest.mark.parametrize("hours", [(0, 3, 4, 5), (0, 1, 4, 5), (0, 2, 4, 5)])
def test_bars_when_some_are_missing_then_the_others_keep_their_length(
    tmp_path: Path, policy: Policy, hours: tuple[int, ...]
) -> None:
    head, hour_ms = "ts_ms,symbol,open,high,low,close,volume\n", 3_600_000
    rows = "".join(f"{T0 + hour * hour_ms},XRP,2,3,1,2.5,9\n" for hour in hours)
    moments = [moment for moment, *_ in prices(Recording(recorded(tmp_path, head + rows), policy))]
    assert moments == [T0 + hour * hour_ms + part * hour_ms // 10 for hour in hours for part in (0, 3, 6, 9)]


def test_bars_when_every_price_symbol_is_recorded_at_once_then_their_length_is_seen_still(
    tmp_path: Path, policy: Policy
) -> None:
    head, hour_ms = "ts_ms,symbol,open,high,low,close,volume\n", 3_600_000
    rows = "".join(
        f"{T0 + hour * hour_ms},{symbol},2,3,1,2.5,9\n"
        for hour in range(2)
        for symbol in policy.price_symbols
    )
    played = prices(Recording(recorded(tmp_path, head + rows), policy))
    assert max(moment or 0 for moment, *_ in played) == T0 + hour_ms + 9 * hour_ms // 10


def test_bars_when_one_comes_twice_then_once_is_played_and_another_one_is_refused(
    tmp_path: Path, policy: Policy
) -> None:
    head = "ts_ms,symbol,open,high,low,close,volume\n"
    bar = f"{T0},XRP,2,3,1,2.5,9\n"
    scenario = Recording(recorded(tmp_path, head + bar + bar + f"{T0},XRP,2,1,3,2,9\n"), policy)
    assert len(prices(scenario)) == 4
    assert {reason: it.rows for reason, it in scenario.left_out.items()} == {
        "a bar twice": 1,
        "a bar whose high and low do not hold its open and close": 1,
    }
    other = recorded(tmp_path, head + bar + f"{T0},XRP,2,3,1,2.6,9\n")
    assert f"line 3: a second bar of XRP at {T0}, unlike the first" in told(other, policy)


def test_recording_error_when_made_then_is_one_a_command_tells() -> None:
    assert issubclass(RecordingError, FeedError)
    assert msgspec.structs.asdict(Reading()) == {"symbol": None, "columns": {}, "renamed": {}}
