"""The worker's heat map: gauges of what its shards hold, in parts between which other tasks run."""

import asyncio
from decimal import Decimal

import pytest

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.marks.mark_book import MarkBook
from streams.observe import heat_map_gauges
from streams.observe.heat_map_gauges import OTHER, HeatMapGauges
from streams.observe.metrics import Metrics
from tests.support.builders import account, mark, sample

D = Decimal
MOVES = (D("-0.3"), D("-0.2"), D("0.2"))


def worker(*books_of_states, symbols_named=10, every_seconds=0.0):
    """Gauges over one book for each list of states, at prices of 100 and 1."""
    policy, metrics, marks = sample(), Metrics(), MarkBook(sample())
    for symbol, price in {"USDT-USD": 1, "BTC-USD": 100, "USD-PERP": 100, "BTC-PERP": 100}.items():
        marks.prime(mark(symbol, price))
    marks.advance(0)
    books = []
    for states in books_of_states:
        book = ColumnarBook(policy)
        for state in states:
            book.put(state)
        books.append(book)
    gauges = HeatMapGauges(
        lambda: books,
        marks,
        policy,
        metrics,
        moves=MOVES,
        symbols_named=symbols_named,
        every_seconds=every_seconds,
    )
    return gauges, metrics, marks


def notional(metrics):
    return {
        (sample.labels["move"], sample.labels["symbol"]): sample.value
        for family in metrics.heat_map_notional.collect()
        for sample in family.samples
        if sample.value
    }


def falling(name, symbol, *, short=False):
    # long: 250 - 200 is above 40 at -0.2, 250 - 300 is gone at -0.3; short: 250 - 200 is below 60 at +0.2
    return account({"USD": 250}, {symbol: (-10 if short else 10, 100)}, name=name)


async def test_gauges_when_refreshed_then_they_are_the_sum_of_all_shards_by_move_and_symbol():
    gauges, metrics, _ = worker(
        [falling("a", "USD-PERP")], [falling("b", "USD-PERP", short=True), falling("c", "USD-PERP")]
    )
    await gauges.refresh()
    # long: 10 * 70 each at -0.3; short: 10 * 120 at +0.2
    assert notional(metrics) == {("-0.3", "USD-PERP"): 1400, ("0.2", "USD-PERP"): 1200}
    pools = {it.labels["move"]: it.value for it in metrics.heat_map_pools.collect()[0].samples}
    assert pools == {"-0.3": 2, "-0.2": 0, "0": 0, "0.2": 1}
    assert metrics.heat_map_timestamp_seconds._value.get() > 0


async def test_gauges_when_more_symbols_than_are_named_then_the_rest_is_other():
    states = [falling("a", "USD-PERP"), falling("b", "USD-PERP"), falling("c", "BTC-PERP")]
    gauges, metrics, _ = worker(states, symbols_named=1)
    await gauges.refresh()
    assert notional(metrics) == {("-0.3", "USD-PERP"): 1400, ("-0.3", OTHER): 700}
    gauges, metrics, _ = worker(states, symbols_named=0)
    await gauges.refresh()
    assert notional(metrics) == {("-0.3", OTHER): 2100}


async def test_gauges_when_prices_go_stale_then_nothing_falls_and_that_is_said():
    gauges, metrics, marks = worker([falling("a", "USD-PERP")])
    await gauges.refresh()
    for book in gauges._books():
        drained(book.on_clock(marks.advance(11 * 10**9)))
    await gauges.refresh()
    assert (notional(metrics), metrics.heat_map_withheld_pools._value.get()) == ({}, 1)


async def test_gauges_when_there_are_many_accounts_then_other_tasks_run_in_between(monkeypatch):
    monkeypatch.setattr("engine.book.columnar_book.HEAT_PART_ACCOUNTS", 5)
    gauges, _, _ = worker([falling(f"a-{number}", "USD-PERP") for number in range(50)])
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await gauges.refresh()
    beside.cancel()
    # four points, ten parts
    assert turns >= 14


async def test_run_when_a_round_fails_then_the_next_one_comes(monkeypatch):
    gauges, metrics, _ = worker([falling("a", "USD-PERP")], every_seconds=0.01)
    real, calls = heat_map_gauges.market_points, []

    def failing_once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ArithmeticError("no such number")
        return real(*arguments)

    monkeypatch.setattr(heat_map_gauges, "market_points", failing_once)
    task = asyncio.create_task(gauges.run())
    async with asyncio.timeout(10):
        while not notional(metrics):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    task.cancel()
    assert len(calls) >= 2


async def test_run_when_the_setting_is_zero_then_never():
    gauges, metrics, _ = worker([falling("a", "USD-PERP")], every_seconds=0.0)
    await asyncio.wait_for(gauges.run(), 1)
    assert notional(metrics) == {}


@pytest.mark.parametrize("shards", [0, 1])
async def test_gauges_when_nobody_is_there_then_zero_at_every_move(shards):
    gauges, metrics, _ = worker(*[[]] * shards)
    await gauges.refresh()
    assert notional(metrics) == {}
    assert len(metrics.heat_map_pools.collect()[0].samples) == len(MOVES) + 1
