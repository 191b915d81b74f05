"""Recordings: each set of columns is read as it says, a bad file is told by line and rule."""

import gzip
import itertools
import os
from decimal import Decimal
from pathlib import Path

import pytest

from engine.policy import Policy
from streams.config.settings import load_policy
from streams.exchange.feed_errors import RecordingError
from streams.exchange.market import recording
from streams.exchange.market.recording import Recording

TRADES = "ts_ms,symbol,price,qty\n"
ARRIVALS = "ts_ms,symbol,price,qty,recv_ts_ms\n"
BARS = "ts_ms,symbol,open,high,low,close,volume\n"
T0 = 1_760_000_000_000


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


def written(directory: Path, text: str, name: str = "recording.csv") -> Path:
    path = directory / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def played(scenario: Recording) -> list[tuple[float, str, Decimal]]:
    return [(mark.at_seconds, mark.symbol, mark.price) for mark in scenario]


@pytest.mark.parametrize("name", ["recording.csv", "recording.csv.gz"])
def test_trades_then_drive_contract_and_index_of_their_coin_at_speed(
    tmp_path: Path, policy: Policy, name: str
) -> None:
    rows = f"{T0},BTCUSD,100000.5,1\n{T0 + 6000},XRPUSD,2.5,1\n{T0 + 12000},BTCUSD,99000,1\n"
    scenario = Recording(written(tmp_path, TRADES + rows, name), policy, speed=60)
    assert played(scenario) == [
        (0.0, "BTC-USD", Decimal("100000.5")),
        (0.0, "BTC-USDT-PERP", Decimal("100000.5")),
        (0.1, "XRP-USDT-PERP", Decimal("2.5")),
        (0.2, "BTC-USD", Decimal(99000)),
        (0.2, "BTC-USDT-PERP", Decimal(99000)),
    ]
    assert [mark.sequence for mark in scenario if mark.symbol == "BTC-USD"] == [1, 2]
    assert scenario.start_prices["BTC-USDT-PERP"] == Decimal("100000.5")
    assert scenario.start_prices["XRP-USDT-PERP"] == Decimal("2.5")
    assert scenario.constant == frozenset(policy.price_symbols) - {
        "BTC-USD",
        "BTC-USDT-PERP",
        "XRP-USDT-PERP",
    }


@pytest.mark.parametrize("symbol", ["BTC", "BTCUSD", "BTCUSDT", "BTCUSD_PERP"])
def test_recorded_symbols_of_a_coin_then_drive_the_same_prices(
    tmp_path: Path, policy: Policy, symbol: str
) -> None:
    scenario = Recording(written(tmp_path, f"{TRADES}{T0},{symbol},100000,1\n"), policy)
    assert {mark.symbol for mark in scenario} == {"BTC-USD", "BTC-USDT-PERP"}


def test_trades_by_arrival_then_are_due_when_they_arrived(tmp_path: Path, policy: Policy) -> None:
    rows = f"{T0 + 900},XRPUSD,2.5,1,{T0 + 1000}\n{T0},ADAUSD,0.8,1,{T0 + 2000}\n"
    scenario = Recording(written(tmp_path, ARRIVALS + rows), policy, speed=1)
    assert played(scenario) == [
        (0.0, "XRP-USDT-PERP", Decimal("2.5")),
        (1.0, "ADA-USDT-PERP", Decimal("0.8")),
    ]


def test_bars_then_run_through_low_and_high_in_the_order_of_their_direction(
    tmp_path: Path, policy: Policy
) -> None:
    rows = f"{T0},XRPUSDT,2,4,1,3,9\n{T0},ADAUSDT,3,4,1,2,9\n{T0 + 10_000},XRPUSDT,3,3,3,3,0\n"
    marks = played(Recording(written(tmp_path, BARS + rows), policy, speed=1))
    assert [(at, price) for at, symbol, price in marks if symbol == "XRP-USDT-PERP"][:5] == [
        (0.0, Decimal(2)),
        (3.0, Decimal(1)),
        (6.0, Decimal(4)),
        (9.0, Decimal(3)),
        (10.0, Decimal(3)),
    ]
    assert [price for _, symbol, price in marks if symbol == "ADA-USDT-PERP"] == [3, 4, 1, 2]
    assert [at for at, _, _ in marks] == sorted(at for at, _, _ in marks)


def test_rows_of_other_coins_then_are_counted_and_left_out(tmp_path: Path, policy: Policy) -> None:
    rows = f"{T0},BNBUSDT,1000,1\n{T0},XRPUSD,2.5,1\n{T0},BNBUSDT,1000,1\n"
    scenario = Recording(written(tmp_path, TRADES + rows), policy)
    assert len(played(scenario)) == 1
    assert scenario.unknown == {"BNBUSDT": 2}


def test_a_coin_that_comes_too_late_then_is_left_out_and_stays_constant(
    tmp_path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "FIRST_ROWS_MAX", 2)
    rows = f"{T0},XRPUSD,2.5,1\n{T0},XRPUSD,2.5,1\n{T0},ADAUSD,0.8,1\n"
    scenario = Recording(written(tmp_path, TRADES + rows), policy)
    assert {mark.symbol for mark in scenario} == {"XRP-USDT-PERP"}
    assert "ADA-USDT-PERP" in scenario.constant
    assert scenario.unknown == {"ADAUSD": 1}


def test_a_window_then_limits_what_is_played(tmp_path: Path, policy: Policy) -> None:
    rows = "".join(f"{T0 + 1000 * i},XRPUSD,{2 + i},1\n" for i in range(10))
    scenario = Recording(
        written(tmp_path, TRADES + rows), policy, speed=1, from_ms=T0 + 3000, to_ms=T0 + 5000
    )
    assert played(scenario) == [
        (0.0, "XRP-USDT-PERP", Decimal(5)),
        (1.0, "XRP-USDT-PERP", Decimal(6)),
    ]
    assert scenario.start_prices["XRP-USDT-PERP"] == 5


def test_a_window_when_no_row_lies_in_it_then_that_is_told(tmp_path: Path, policy: Policy) -> None:
    path = written(tmp_path, f"{TRADES}{T0},XRP,2,1\n")
    for window in ({"from_ms": T0 + 1}, {"to_ms": T0}, {"from_ms": T0 + 5, "to_ms": T0}):
        with pytest.raises(RecordingError, match="no row lies in the window asked for"):
            Recording(path, policy, **window)


def test_speed_max_then_gives_no_times(tmp_path: Path, policy: Policy) -> None:
    scenario = Recording(written(tmp_path, f"{TRADES}{T0},XRP,2,1\n{T0 + 5000},XRP,3,1\n"), policy)
    assert not scenario.paced
    assert {mark.at_seconds for mark in scenario} == {0.0}


def test_rows_slightly_late_then_are_due_at_once(tmp_path: Path, policy: Policy) -> None:
    rows = f"{T0},XRPUSD,2,1\n{T0 + 2000},XRPUSD,3,1\n{T0 + 1500},XRPUSD,4,1\n"
    scenario = Recording(written(tmp_path, TRADES + rows), policy, speed=1)
    assert [at for at, _, _ in played(scenario)] == [0.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file has no rows"),
        ("ts_ms,symbol,rate\n1,BTC,0.1\n", "line 1: the header 'ts_ms,symbol,rate' is none of"),
        (f"{TRADES}{T0},BTCUSD,100\n", "line 2: 3 fields, the header names 4"),
        (f"{TRADES}noon,BTCUSD,100,1\n", "line 2: ts_ms: time 'noon' is in no unit that is known"),
        (
            f"{ARRIVALS}{T0},BTCUSD,100,1,soon\n",
            "line 2: recv_ts_ms: time 'soon' is in no unit that is known",
        ),
        (f"{TRADES}{T0},BTCUSD,100,1\n{T0},BTCUSD,dear,1\n", "line 3: price 'dear' is not a number"),
        (f"{TRADES}{T0},BTCUSD,NaN,1\n", "1 rows left out: no price (the first in line 2)"),
        (
            f"{TRADES}{T0},BTCUSD,0,1\n",
            "1 rows left out: a price that is not above zero (the first in line 2)",
        ),
        (f"{BARS}{T0},BTCUSD,1,2,x,1,0\n", "line 2: low 'x' is not a number"),
        (
            f"{TRADES}{T0 - 1},BTCUSD,100,1\n{T0},BTCUSD,100,1\n{T0 - 1001},BTCUSD,100,1\n",
            "line 4: time 1759999998999 is 1001 ms before an earlier row's, 1000 ms allowed",
        ),
        (
            f"{BARS}{T0 - 1},BTC,1,1,1,1,0\n{T0},BTC,1,1,1,1,0\n{T0 - 1},BTC,1,1,1,1,0\n",
            "1 ms before an earlier row's, 0 ms allowed: sort the rows by time",
        ),
        (TRADES, "no row to play: there is none below the header"),
        (f"{TRADES}{T0},BNBUSD,1,1\n", "symbols not priced: BNBUSD"),
    ],
)
def test_a_bad_file_then_is_told_by_line_and_rule(
    tmp_path: Path, policy: Policy, text: str, message: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecordingError) as caught:
        played(Recording(path, policy))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_then_is_told(tmp_path: Path, policy: Policy) -> None:
    no_gzip = tmp_path / "plain.csv.gz"
    no_gzip.write_bytes(b"\x1f\x8bplain")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress((TRADES + f"{T0},XRPUSD,2,1\n" * 10_000).encode())[:-20])
    no_text = tmp_path / "latin.csv"
    no_text.write_bytes(TRADES.encode() + b"\xe9\n")
    for path in (tmp_path / "absent.csv", tmp_path, no_gzip, cut, no_text):
        with pytest.raises(RecordingError, match="cannot be read"):
            played(Recording(path, policy))


def recordings() -> list[Path | None]:
    """A small file made by the test (None), and the recordings of UNIMARGIN_DATA_DIR where that is set."""
    directory = os.environ.get("UNIMARGIN_DATA_DIR")
    found = sorted(Path(directory).glob("*.csv.gz")) if directory else []
    return [None, *(path for path in found if path.name.startswith(("trades", "klines", "mark")))]


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.name if path else "made")
def test_the_first_rows_of_a_recording_then_are_marks_in_order(
    tmp_path: Path, policy: Policy, path: Path | None
) -> None:
    rows = "".join(f"{T0 + 100 * i},BTCUSD,{100_000 + i % 7},1\n" for i in range(6_000))
    scenario = Recording(path or written(tmp_path, TRADES + rows), policy, speed=60)
    marks = list(itertools.islice(scenario, 5_000))
    assert len(marks) == 5_000
    assert all(a.at_seconds <= b.at_seconds for a, b in itertools.pairwise(marks))
    assert {mark.symbol for mark in marks} <= set(policy.price_symbols) - scenario.constant
    assert all(mark.price > 0 for mark in marks)
