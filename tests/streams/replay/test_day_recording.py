"""A recorded day, moment by moment: what a replay had come to is what each moment holds."""

import itertools
import time
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.ladder import Band
from streams.desk.book_copy import at_once
from streams.desk.recorded_day import RecordedDay
from streams.replay.day_recording import record_day
from streams.replay.sources import FileOptions, Files
from tests.support.builders import sample

START_S = 1_760_130_000
QUOTES = {"USDT-USD": "1", "BTC-USD": "50000", "BTC-PERP": "50000", "ETH-PERP": "3000", "ADA-PERP": "1"}
SECONDS = 300
FALL = 20


def falling(seconds: int = SECONDS) -> list[str]:
    """One account, one BTC long; the price falls by `FALL` a second."""
    lines = [
        {
            "type": "deposit",
            "account": "one",
            "entry_id": "d1",
            "asset": "USDT",
            "amount": "5000",
            "time_ns": START_S * 10**9,
        },
        {
            "type": "fill",
            "account": "one",
            "trade_id": "t1",
            "symbol": "BTC-PERP",
            "side": "buy",
            "quantity": "1",
            "price": "50000",
            "time_ns": START_S * 10**9 + 1,
        },
    ]
    for second in range(1, seconds):
        for symbol, price in QUOTES.items():
            said = str(Decimal(price) - FALL * second) if symbol.startswith("BTC") else price
            lines.append(
                {
                    "type": "mark",
                    "symbol": symbol,
                    "price": said,
                    "sequence": second,
                    "time_ns": (START_S + second) * 10**9,
                }
            )
    return [msgspec.json.encode(it).decode() for it in lines]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "day.jsonl"
    path.write_text("\n".join(falling()) + "\n")
    return path


def recorded(path: Path, moments_max: int) -> RecordedDay:
    files = Files(path, sample(), FileOptions(accounts=None, seed=1, fresh_seconds=900))
    return record_day(files, sample(), time.perf_counter_ns, moments_max=moments_max)


def test_day_when_recorded_then_each_moment_has_the_book_and_the_marks_of_then(recording: Path) -> None:
    day = recorded(recording, 1000)
    seconds = [it.time_ns // 10**9 - START_S for it in day.moments]
    # judging begins when the symbol that is never priced has been waited for
    assert seconds == list(range(seconds[0], SECONDS))
    assert seconds[0] < 20
    bands = []
    for number, moment in enumerate(day.moments):
        book = day.book(number)
        assert book.now_ns() == moment.time_ns
        prices = {it.symbol: it.price for it in at_once(book.marks(0))}
        assert prices["BTC-PERP"] == 50_000 - FALL * ((moment.time_ns // 10**9) - START_S)
        _, held = book.entry("one") or (0, None)
        assert held is not None
        assert held.risk is not None
        band = held.risk.pools[""].band if held.risk.pools else Band.HEALTHY
        assert moment.sample.accounts == {it.value: int(it is band) for it in Band}
        bands.append(band)
    order = list(dict.fromkeys(bands))
    assert order == [it for it in Band if it in order]
    assert order[-1] is Band.BANKRUPT
    assert [it.account for it in day.events if it.account] == ["one"] * len(
        [it for it in day.events if it.account]
    )
    assert day.moments[-1].events == len(day.events) > len(order) - 1


def test_day_when_it_has_more_moments_than_are_kept_then_evenly_spaced_ones_stay(recording: Path) -> None:
    day = recorded(recording, 50)
    times = [it.time_ns // 10**9 for it in day.moments]
    assert 25 <= len(times) <= 51
    assert times[-1] == START_S + SECONDS - 1
    assert {after - before for before, after in itertools.pairwise(times[:-1])} == {8}
    assert day.nearest((times[3] + 3) * 10**9) == 3
    assert day.nearest(0) == 0
    assert day.nearest(2**63) == len(times) - 1
    assert sum(day.report().unwell) > 0
