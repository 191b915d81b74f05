"""`unimargin bench book`: every figure is there, makes sense, and counts what it says."""

from collections import Counter
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from engine.book.account_book import drained
from engine.book.plain_book import PlainBook
from engine.ledger.accounts import decode, encode
from engine.margin.margin_model import uses_portfolio
from streams.bench.bench_market import Market, bench_policy
from streams.bench.bench_population import PopulationPlan, made_up, stored_accounts
from streams.bench.book_timing import bench_book
from streams.bench.svg import Line, chart
from streams.bench.ten_contracts import bench_ten_contracts
from tests.support.cli import unimargin
from tests.support.instants import at as moment

QUICK = (
    *("--accounts", "200", "--symbols", "20", "--marks", "200", "--repeats", "1"),
    *("--scenario-accounts", "50"),
)
ROWS = ("one_tick", "ten_ticks", "ten_jumps", "sums", "live_figures", "every_figure")
HEADLINE = (
    *("ns_per_holder_p50", "worst_symbol_ms_p50", "accounts_per_second_w10", "bytes_per_account"),
    *("exact_share", "crash_day_seconds"),
)
SMALL = PopulationPlan(accounts=200, symbols=20, portfolio_share=0.05)


class Ticking:
    """A clock that advances 1 us at every look: each call that is timed takes exactly that long."""

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> int:
        self._now_ns += 1_000
        return self._now_ns


def test_bench_book_then_every_figure_is_there_as_json() -> None:
    report = unimargin("bench", "book", *QUICK, "--seed", "3", "--portfolio-share", "0.1", "--json").json
    method, book, ten = report["method"], report["book"], report["ten_contracts"]
    assert (method["accounts"], method["seed"], method["threads"]) == (200, 3, 1)
    assert book["accounts"] == 200
    assert book["routed_share"] == book["routed"]["portfolio_model"] / 200 > 0
    steps = ("load_seconds", "prime_seconds", "judge_all_seconds")
    assert book["build"]["seconds"] == pytest.approx(sum(book["build"][step] for step in steps))
    positive = [book["build"]["seconds"], book["put_us"], book["totals_ms"], *book["stream"].values()]
    rates = [ten[row][unit] for row in ROWS for unit in ("us", "accounts_per_second")]
    assert min(positive + rates) > 0
    assert report.keys() == {*HEADLINE, "method", "book", "ten_contracts"}
    assert report["ns_per_holder_p50"] == book["stream"]["ns_per_holder"]
    assert report["worst_symbol_ms_p50"] == pytest.approx(book["slowest_symbol"]["us"] / 1_000)
    assert report["accounts_per_second_w10"] == ten["live_figures"]["accounts_per_second"]
    assert report["bytes_per_account"] == book["build"]["resident_bytes_per_account"]
    assert 0 <= report["exact_share"] <= 1
    assert report["crash_day_seconds"] is None


def test_bench_book_then_people_get_tables_and_how_to_read_them() -> None:
    said = unimargin("bench", "book", *QUICK)
    assert said.code == 0
    for words in (
        "ns per holder p50",
        "marks per second",
        "every figure: accounts per second",
        "answered for",
        "wall clock",
    ):
        assert words in said.out


def test_bench_book_when_given_a_recorded_day_then_replays_all_of_it(tmp_path) -> None:
    # one trade a second, bitcoin falls from 60,000 by a third: whoever is long with leverage is called
    rows = [f"{1_760_000_000_000 + 1_000 * i},BTCUSD,{60_000 - 100 * i},1" for i in range(200)]
    day = tmp_path / "day.csv"
    day.write_text("\n".join(["ts_ms,symbol,price,qty", *rows]))
    report = unimargin("bench", "book", *QUICK, "--crash-day", str(day), "--json").json
    crash = report["crash_day"]
    assert crash["accounts"] == 200
    # every trade marks the contract and the index; the first of each repeats the opening price
    assert crash["marks"] == 2 * 200
    assert crash["transitions"] > 0
    assert crash["holders"] >= crash["exact"] > 0
    assert 0 < crash["visited_share"] < 1
    assert report["crash_day_seconds"] == crash["seconds"] > 0


def test_bench_plot_then_draws_every_decade_and_holders_stay_where_they_are_constant(tmp_path) -> None:
    picture = tmp_path / "cost.svg"
    said = unimargin(
        "bench", "plot", "--out", str(picture), "--accounts-max", "10000", "--marks", "100", "--json"
    )
    small, large = said.json
    assert (small["accounts"], large["accounts"]) == (1_000, 10_000)
    assert small["constant_holders"] == large["constant_holders"] == 1_000
    assert large["most_held_holders"] > 5 * small["most_held_holders"]
    root = ET.fromstring(picture.read_text())
    shapes = Counter(element.tag.rpartition("}")[2] for element in root.iter())
    # three lines of two points
    assert (shapes["polyline"], shapes["circle"]) == (3, 6)


def test_chart_then_points_lie_where_their_logarithms_do() -> None:
    root = ET.fromstring(chart("<title>", "x", [Line("a & b", [(1, 1), (10, 10), (100, 100)])]))
    low, middle, high = (
        (float(it.attrib["cx"]), float(it.attrib["cy"])) for it in root.iter() if it.tag.endswith("circle")
    )
    assert low[0] < middle[0] < high[0]
    assert low[1] > middle[1] > high[1]  # up is less
    assert middle[0] == pytest.approx((low[0] + high[0]) / 2, abs=0.1)
    assert middle[1] == pytest.approx((low[1] + high[1]) / 2, abs=0.1)
    assert {"<title>", "a & b"} <= {it.text for it in root.iter() if it.tag.endswith("text")}


@pytest.mark.parametrize(
    "words", [("--accounts", "0"), ("--portfolio-share", "1.1"), ("--symbols", "1000"), ("--seed", "-1")]
)
def test_bench_book_when_asked_for_nonsense_then_says_so(words: tuple[str, ...]) -> None:
    said = unimargin("bench", "book", *words)
    assert said.code == 2
    assert words[0] in said.err


def test_figures_when_every_call_takes_a_microsecond_then_are_that_divided_by_what_was_done() -> None:
    figures = bench_book(SMALL, marks=1_000, repeats=2, clock=Ticking())
    # three timed calls of 1 us
    assert figures.build.seconds == pytest.approx(3e-6)
    # 1,000 marks in one timed call
    assert figures.stream.marks_per_second == pytest.approx(1_000 / 1e-6)
    per_mark_ns = 1_000 / 1_000
    assert figures.stream.ns_per_holder == pytest.approx(
        per_mark_ns / figures.stream.holders_per_mark, rel=0.2
    )
    most_held = figures.most_held_symbol
    assert (most_held.us, most_held.us_max) == (pytest.approx(1), pytest.approx(1))
    assert most_held.ns_per_holder == pytest.approx(1_000 / most_held.holders)
    # 200 accounts in two timed calls of 100
    assert figures.put_us == pytest.approx(1 / 100)
    assert figures.totals_ms == pytest.approx(0.001)


def test_ten_contracts_when_every_call_takes_a_microsecond_then_accounts_count_once_per_mark() -> None:
    rows = bench_ten_contracts(100, seed=1, repeats=2, clock=Ticking())
    # 100 accounts / 1 us, and ten marks in one batch
    assert rows.one_tick.accounts_per_second == pytest.approx(100 / 1e-6)
    assert rows.ten_ticks.accounts_per_second == pytest.approx(10 * 100 / 1e-6)
    assert rows.ten_jumps.accounts_per_second == pytest.approx(10 * 100 / 1e-6)
    assert rows.live_figures.accounts_per_second == pytest.approx(100 / 1e-6)
    assert rows.every_figure.accounts_per_second == pytest.approx(100 / 1e-6)


def test_stored_accounts_when_made_elsewhere_then_are_those_made_here() -> None:
    assert stored_accounts(SMALL) == [encode(state) for state in made_up(SMALL)]
    other = PopulationPlan(accounts=200, symbols=20, portfolio_share=0.05, seed=8)
    assert stored_accounts(SMALL) != [encode(state) for state in made_up(other)]


def test_population_then_is_what_its_plan_says() -> None:
    policy = bench_policy(SMALL.symbols)
    states = made_up(PopulationPlan(accounts=2_000, symbols=20, coin_share=0.5, portfolio_share=0.3))
    assert all(decode(encode(state)) == state for state in states)
    # shares of 2,000 draws: four standard deviations are below 5 %
    assert sum("BTC" in state.balances for state in states) / 2_000 == pytest.approx(0.5, abs=0.05)
    assert sum(uses_portfolio(state, policy) for state in states) / 2_000 == pytest.approx(0.3, abs=0.05)
    assert sum(bool(state.isolated) for state in states) / 2_000 == pytest.approx(0.02, abs=0.013)
    assert {symbol for state in states for symbol in state.positions} == {f"S{i:03}-PERP" for i in range(20)}


def test_population_then_most_accounts_are_healthy_and_some_are_not() -> None:
    policy, market = bench_policy(20), Market(20, 7)
    book = PlainBook(policy)
    book.prime(market.all_marks(), moment(market.time_ns, frozenset()))
    for state in made_up(PopulationPlan(accounts=1_000, symbols=20)):
        book.put(state)
    called = {it.risk.account for it in drained(book.judge(list(book.accounts())))}
    assert 0 < len(called) < 500


def test_market_when_made_again_then_ticks_alike_by_about_a_basis_point() -> None:
    one, again = Market(20, 7), Market(20, 7)
    first = {mark.symbol: mark.price for mark in one.all_marks()}
    again.all_marks()
    batch = one.batch(100)
    assert batch == again.batch(100)
    marks = [mark for instant in batch for mark in instant.marks]
    assert all(abs(mark.price / first[mark.symbol] - 1) < Decimal("0.01") for mark in marks)
    assert {mark.symbol for mark in marks} >= {"USDT-USD", "BTC-USD"}
