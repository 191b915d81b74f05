"""`unimargin bench book`: every figure is there, makes sense, and counts what it says."""

from decimal import Decimal

import pytest

from engine.accounts import decode, encode
from engine.book.plain import PlainBook
from engine.margin.model import uses_portfolio
from streams.bench.book import bench_book
from streams.bench.market import Market, bench_policy
from streams.bench.population import PopulationPlan, made_up, stored_accounts
from streams.bench.ten_contracts import bench_ten_contracts
from tests.support.cli import unimargin

QUICK = (
    *("--accounts", "200", "--symbols", "20", "--marks", "200", "--repeats", "1"),
    *("--scenario-accounts", "50"),
)
ROWS = ("one_tick", "ten_ticks", "ten_jumps", "sums", "every_figure")
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
    steps = ("decode_and_put_seconds", "prime_seconds", "judge_all_seconds")
    assert book["build"]["seconds"] == pytest.approx(sum(book["build"][step] for step in steps))
    positive = [book["build"]["seconds"], book["put_us"], book["totals_ms"], *book["stream"].values()]
    rates = [ten[row][unit] for row in ROWS for unit in ("us", "accounts_per_second")]
    assert min(positive + rates) > 0


def test_bench_book_then_people_get_tables_and_how_to_read_them() -> None:
    said = unimargin("bench", "book", *QUICK)
    assert said.code == 0
    for words in ("marks per second", "every figure: accounts per second", "answered for", "wall clock"):
        assert words in said.out


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
    assert (figures.put_us, figures.totals_ms) == (pytest.approx(1), pytest.approx(0.001))


def test_ten_contracts_when_every_call_takes_a_microsecond_then_accounts_count_once_per_mark() -> None:
    rows = bench_ten_contracts(100, seed=1, repeats=2, clock=Ticking())
    # 100 accounts / 1 us, and ten marks in one batch
    assert rows.one_tick.accounts_per_second == pytest.approx(100 / 1e-6)
    assert rows.ten_ticks.accounts_per_second == pytest.approx(10 * 100 / 1e-6)
    assert rows.ten_jumps.accounts_per_second == pytest.approx(10 * 100 / 1e-6)
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
    book.prime(market.all_marks(), market.time_ns, frozenset())
    for state in made_up(PopulationPlan(accounts=1_000, symbols=20)):
        book.put(state)
    called = {it.risk.account for it in book.judge(list(book.accounts()))}
    assert 0 < len(called) < 500


def test_market_when_made_again_then_ticks_alike_by_about_a_basis_point() -> None:
    one, again = Market(20, 7), Market(20, 7)
    first = {mark.symbol: mark.price for mark in one.all_marks()}
    again.all_marks()
    marks = one.batch(100)
    assert marks == again.batch(100)
    assert all(abs(mark.price / first[mark.symbol] - 1) < Decimal("0.01") for mark in marks)
    assert {mark.symbol for mark in marks} >= {"USDT-USD", "BTC-USD"}
