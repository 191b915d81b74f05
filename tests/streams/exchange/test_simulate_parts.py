"""The parts of the simulated exchange, each by numbers worked out by hand."""

import json
import math
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from prometheus_client import generate_latest

from engine.events.effects import AccountRisk, InputOffsets, RiskEvent
from engine.inputs import Deposit, Fill, FundingPayment, MarginMode, Topic, Withdrawal
from engine.ledger.accounts import AccountState
from engine.liquidation.plan import ReduceStep
from engine.policy import Policy
from streams.config.settings import load_policy
from streams.embedded.supervisor import unimargin as command
from streams.exchange.clearing.clearing import FUND, STREET, Books, counterparty
from streams.exchange.clearing.executing import Liquidations
from streams.exchange.clearing.input_desk import Desk, Fence, tag_in, tag_of
from streams.exchange.clearing.insurance_fund import Fund
from streams.exchange.clearing.tally import Refusal, Tally
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.answering_prices import HALF_SPREAD, PERMANENT_SHARE, Market
from streams.exchange.market.market_path import RecordedPath, ScenarioPath, recorded_seconds, recording_in
from streams.exchange.market.named_scenarios import SCENARIOS, MarketScenario
from streams.exchange.market.recording import Recording
from streams.exchange.traders.trading_agents import AGENT_STYLES, HABITS, number_of
from streams.exchange.wire.exchange_metrics import registry_of
from tests.support.builders import account, prices, sample
from tests.support.cli import unimargin
from tests.support.judging import judge_with_reasons
from tests.support.simulating import played, simulation

BTC = "BTC-USDT-PERP"
STILL = MarketScenario(name="still", title="no price moves", diffusion=0.0)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


@pytest.fixture
def market(policy: Policy) -> Market:
    """BTC at 113,000, 10,000,000 of notional move its price by a factor of e."""
    path = ScenarioPath(STILL, policy, seed=1, seconds=100.0)
    made = Market(policy, path, {BTC: Decimal("0.001")}, impact=1.0, resilience_seconds=10.0)
    made.deepen({"BTC": 10_000_000.0})
    return made


@pytest.fixture
def books(policy: Policy) -> Books:
    return Books(policy)


def fill(account: str, side: str, quantity: str, price: str, trade_id: str = "t-1", **more) -> Fill:
    return Fill(
        account=account, time_ns=1, trade_id=trade_id, symbol=BTC, side=side, quantity=Decimal(quantity),
        price=Decimal(price), **more,
    )  # fmt: skip


def deposit(account: str, amount: str, entry_id: str = "e-1") -> Deposit:
    return Deposit(account=account, time_ns=1, entry_id=entry_id, asset="USDT", amount=Decimal(amount))


def test_open_interest_then_the_contracts_of_all_long_positions_whoever_has_them(books: Books) -> None:
    isolated = {"margin_mode": MarginMode.ISOLATED, "margin_transfer": Decimal(1_000)}
    steps = [
        (deposit("alice", "9000"), "0"),
        (fill("alice", "buy", "3", "100"), "3"),  # of the street
        (fill("bob", "sell", "2", "100"), "3"),  # the street has 1 short left
        (fill("bob", "sell", "5", "100", "t-2"), "7"),  # the street is 4 long
        (fill("carol", "buy", "1.5", "100", **isolated), "7"),  # ... 2.5
        (fill("alice", "sell", "3", "100", "t-2"), "7"),  # ... 5.5, and carol 1.5
        (fill("bob", "buy", "7", "100", "k-3"), "7"),  # taken over: the fund is 7 short instead
    ]
    for message, contracts in steps:
        books.take(message)
        assert books.open_interest(BTC) == Decimal(contracts), message
    assert (books.open_interest("ETH-USDT-PERP"), books.recounted()) == (0, True)


def test_a_trade_then_fills_at_the_average_of_its_way_and_moves_the_price_by_notional_over_depth(
    market: Market,
) -> None:
    last = market._last(BTC)
    # a buy of 1 contract is worth about 113,000: way = 113,045.2 / 10,000,000
    way = market.notional(BTC, Decimal(1)) / 10_000_000
    assert way == pytest.approx(0.01130452)
    price = market.trade(BTC, Decimal(1))
    assert float(price) == pytest.approx(last * math.exp(way / 2) * (1 + HALF_SPREAD), rel=1e-6)
    assert market._last(BTC) == pytest.approx(last * math.exp(way), rel=1e-9)
    # after ten time constants only the permanent part is left
    market.advance(100.0)
    assert market._last(BTC) == pytest.approx(last * math.exp(way * PERMANENT_SHARE), rel=1e-4)


def test_a_sale_with_a_limit_then_is_cut_where_the_book_reaches_it_and_never_fills_below(
    market: Market,
) -> None:
    limit = Decimal("112000.0")
    # room: -ln(112,000 / (113,045.2 * (1 - spread))) of the way, times depth, in contracts
    distance = -math.log(112_000 / (market._last(BTC) * (1 - HALF_SPREAD)))
    contracts = distance * 10_000_000 / market.notional(BTC, Decimal(1))
    assert market.fillable(BTC, -1, limit, 1.0) == pytest.approx(contracts)
    assert market.fillable(BTC, -1, limit, distance / 2) == pytest.approx(contracts / 2)
    assert market.fillable(BTC, -1, Decimal(200_000), 1.0) == 0
    assert market.trade(BTC, Decimal(-50), limit) == limit


def test_an_exchange_without_impact_then_fills_at_half_the_spread_and_moves_nothing(policy: Policy) -> None:
    path = ScenarioPath(STILL, policy, seed=1, seconds=100.0)
    still = Market(policy, path, {BTC: Decimal("0.001")}, impact=0.0, resilience_seconds=10.0)
    still.deepen({"BTC": 1.0})
    last = still._last(BTC)
    assert float(still.trade(BTC, Decimal(1000))) == pytest.approx(last * (1 + HALF_SPREAD), rel=1e-6)
    assert still._last(BTC) == last


@pytest.mark.parametrize(
    ("scale_min", "price", "bought", "sold"),
    [
        (0, "0.04", "0.1", "0.1"), (0, "-3", "0.1", "0.1"), (0, "7.25", "7.2", "7.3"),
        # no worse for who trades there, on both sides of 0
        (10, "0.04", "0.0", "0.1"), (10, "-3", "-3.0", "-3.0"), (10, "-3.04", "-3.1", "-3.0"),
    ],
)  # fmt: skip
def test_tick_when_prices_may_be_below_zero_then_rounded_to_the_side_of_the_trader(
    policy: Policy, scale_min: int, price: str, bought: str, sold: str
) -> None:
    listed = msgspec.structs.replace(
        policy.instruments[BTC], negative_prices=scale_min > 0, price_scale_min=Decimal(scale_min)
    )
    policy = msgspec.structs.replace(policy, instruments={**policy.instruments, BTC: listed})
    path = ScenarioPath(STILL, policy, seed=1, seconds=100.0)
    made = Market(policy, path, {BTC: Decimal("0.001")}, impact=1.0, resilience_seconds=10.0)
    assert made.to_tick(BTC, Decimal(price), 1) == Decimal(bought)
    assert made.to_tick(BTC, Decimal(price), -1) == Decimal(sold)


def test_marks_when_a_trade_moves_the_price_too_fast_then_keep_within_reach_of_the_mark_book(
    market: Market,
) -> None:
    before = market.quoted(BTC)
    market.trade(BTC, Decimal(-60))
    market.advance(2.0)  # the index has followed: 1 - exp(-4) of the way
    assert market._last(BTC) < float(before) * 0.7
    # half of the policy's 10 %
    assert before * Decimal("0.9499") < market.quoted(BTC) < before * Decimal("0.951")


def test_books_when_a_customer_trades_then_the_street_has_the_other_side_and_the_fee_account_the_fee(
    books: Books,
) -> None:
    books.take(deposit("a-000001", "1000"))
    books.take(fill("a-000001", "buy", "0.01", "100000", fee=Decimal("0.5")))
    assert books.street.positions[BTC].quantity == Decimal("-0.01")
    assert books.fees["USDT"] == Decimal("0.5")
    balance = books.check({BTC: Decimal(110_000)}, 1)["USDT"]
    # the customer: 1,000 - 0.5 and 0.01 * (110,000 - 100,000) = 100 unrealised; the street has lost these 100
    assert balance.customers == Decimal("999.5")
    assert balance.customers_unrealised == 100
    assert balance.street == -100
    assert (balance.fees, balance.deposits, balance.difference) == (Decimal("0.5"), 1000, 0)


@pytest.mark.parametrize(
    ("message", "house"),
    [
        (fill("a", "buy", "1", "1"), STREET),
        (fill("a", "buy", "1", "1", trade_id="l-0123-1"), STREET),
        (fill("a", "buy", "1", "1", trade_id="k-0123-1"), FUND),
        (fill("a", "buy", "1", "1", trade_id="a-0123-1"), FUND),
        (deposit("a", "1"), ""),
        (deposit("a", "1", entry_id="l-0123-2"), STREET),
        (deposit("a", "1", entry_id="k-0123-2"), FUND),
        (Withdrawal(account="a", time_ns=1, entry_id="e-2", asset="USDT", amount=Decimal(1)), ""),
        (FundingPayment(account="a", time_ns=1, entry_id="f-a-3", symbol=BTC, amount=Decimal(1)), STREET),
    ],
)
def test_counterparty_then_follows_from_the_message_alone(message, house: str) -> None:
    assert counterparty(message) == house


def test_a_liquidation_fee_then_goes_to_the_insurance_fund(books: Books) -> None:
    books.take(deposit("a-000001", "1000"))
    books.take(fill("a-000001", "buy", "0.01", "100000"))
    books.take(fill("a-000001", "sell", "0.01", "90000", trade_id="l-0123-1", fee=Decimal("0.45")))
    assert books.fund.balances == {"USDT": Decimal("0.45")}
    assert not books.fees["USDT"]
    assert books.check({}, 1)["USDT"].difference == 0


def test_an_isolated_position_when_closed_whole_then_its_margin_goes_back_and_a_hole_is_the_funds(
    books: Books,
) -> None:
    desk = Desk(books, Fence())
    books.take(deposit("a-000001", "1000"))
    opened = {"margin_mode": MarginMode.ISOLATED, "margin_transfer": Decimal(100)}
    books.take(fill("a-000001", "buy", "0.01", "100000", account_seq=1, **opened))
    # closed at 88,000: 100 + 0.01 * (88,000 - 100,000) = -20, which the fund pays; the wallet keeps its 900
    desk.close("a-000001", BTC, BTC, Decimal("0.01"), Decimal(88_000), Decimal(0), "k-0123-1", "x")
    state = books.state("a-000001")
    assert state.isolated == {}
    assert state.balances == {"USDT": Decimal(900)}
    assert books.fund.balances == {"USDT": Decimal(-20)}
    assert books.check({BTC: Decimal(88_000)}, 1)["USDT"].difference == 0


def test_a_takeover_when_the_fund_is_empty_then_the_winner_with_most_profit_times_leverage_is_closed(
    books: Books, market: Market
) -> None:
    tally = Tally()
    desk = Desk(books, Fence())
    fund = Fund(books, market, desk, tally)
    mark = market.quoted(BTC)
    # losers and winners entered at 120,000 and 118,000; the mark is 113,045.2
    for owner, side, price, wallet in (
        ("a-000001", "buy", "120000", "7000"),
        ("a-000002", "sell", "120000", "1000"),
        ("a-000003", "sell", "118000", "500"),
        ("a-000004", "sell", "120000", "100000"),
        ("a-000005", "sell", "100000", "20000"),
    ):
        books.take(deposit(owner, wallet, entry_id="e-1"))
        books.take(fill(owner, side, "1", price, account_seq=1))
    # profit * notional / equity: 6,954.8 / 1,000 for 2;  4,954.8 / 500 for 3;  6,954.8 / 100,000 for 4;  5 has a loss
    bankruptcy = mark + 500
    fund.deleverage("a-000001", BTC, Decimal(1), bankruptcy, "0123456789abcdef", 1.0)
    (cut,) = desk.taken()
    assert (cut.account, cut.price, cut.quantity, cut.side) == ("a-000003", bankruptcy, 1, "buy")
    assert tally.deleveragings == 1
    # the fund gave the winner's contract away and gets it back from the loser
    assert books.fund.positions[BTC].quantity == -1
    desk.close("a-000001", "", BTC, Decimal(1), bankruptcy, Decimal(0), "k-0123-1", "x")
    assert books.fund.positions == {}
    assert books.check(market.prices, 1)["USDT"].difference == 0


def test_a_takeover_when_the_fund_is_rich_then_nobody_is_deleveraged(books: Books, market: Market) -> None:
    desk = Desk(books, Fence())
    fund = Fund(books, market, desk, Tally())
    books.endow_fund("USDT", Decimal(1_000_000))
    for owner, side in (("a-000001", "buy"), ("a-000002", "sell")):
        books.take(fill(owner, side, "1", "120000", account_seq=1))
    fund.deleverage("a-000001", BTC, Decimal(1), market.quoted(BTC) + 500, "0123456789abcdef", 1.0)
    assert desk.taken() == []


def test_the_fund_then_sells_what_it_took_over_bit_by_bit_to_the_street(books: Books, market: Market) -> None:
    desk = Desk(books, Fence())
    fund = Fund(books, market, desk, Tally())
    books.take(fill("a-000001", "buy", "2", "113000", account_seq=1))
    desk.close("a-000001", "", BTC, Decimal(2), Decimal(113_000), Decimal(0), "k-0123-1", "x")
    fund.sell(1.0)
    # 0.004 of the way a second: 0.004 * 10,000,000 / 113,045.2 = 0.353 contracts, in lots of 0.001
    assert books.fund.positions[BTC].quantity == 2 - Decimal("0.353")
    fund.sell(1.1)  # too soon
    assert books.fund.positions[BTC].quantity == 2 - Decimal("0.353")
    assert books.check(market.prices, 1)["USDT"].difference == 0


class Floor(NamedTuple):
    """Where liquidations are executed, and what they write to."""

    liquidations: Liquidations
    desk: Desk
    tally: Tally

    def run(self, steps: int, seconds: float) -> int:
        """Messages written in so many steps."""
        for _ in range(steps):
            self.liquidations.step(seconds)
        return len(self.desk.written)

    def arrived(self, offset: int) -> None:
        """Everything that was written lies in the topic, the last at `offset`."""
        for message in self.desk.taken():
            self.desk.fence.acknowledged(message.account, Topic.FILLS, offset)


@pytest.fixture
def floor(books: Books, market: Market) -> Floor:
    """Of an exchange where `a-000001` holds 50 BTC."""
    books.take(fill("a-000001", "buy", "50", "113000", account_seq=1))
    tally, desk = Tally(), Desk(books, Fence())
    fund = Fund(books, market, desk, tally)
    return Floor(Liquidations(market, desk, fund, tally, lambda: prices(market.prices)), desk, tally)


def requested(
    number: int, quantity: int, limit: Decimal | None, fills: int = -1, side: str = "sell"
) -> RiskEvent:
    """`a-000001` shall trade so many BTC, no worse than `limit`; its fills were known up to this offset."""
    state = account({"USD": 50}, {"BTC-PERP": (20, 100)})
    at = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100})
    said = judge_with_reasons(state, AccountRisk("alice"), at, 0, sample()).events[-1]
    step = ReduceStep(BTC, None, side, Decimal(quantity), limit, Decimal(113_000), Decimal(0), Decimal(1))
    return msgspec.structs.replace(
        said, account="a-000001", sequence=number, liquidation_id=f"a-000001/cross/{number}",
        inputs=InputOffsets(fills, -1), plan=msgspec.structs.replace(said.plan, steps=(step,)),
    )  # fmt: skip


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_an_order_when_it_stands_at_its_limit_then_the_fund_takes_the_rest_of_it_at_that_price(
    floor: Floor, market: Market, books: Books, side: str
) -> None:
    if side == "buy":
        books.take(fill("a-000001", "sell", "100", "113000", account_seq=2))
    # 2 % away: some 0.02 * 10,000,000 / 113,000 = 1.8 of the 50, and then lot by lot
    limit = (market.quoted(BTC) * Decimal("0.98" if side == "sell" else "1.02")).quantize(Decimal("0.1"))
    books.endow_fund("USDT", Decimal(10_000_000))
    assert floor.liquidations.offer(requested(1, 50, limit, side=side)) is None
    floor.run(240, 0.1)
    assert (floor.liquidations.open, books.state("a-000001").positions[BTC].quantity != 0) == (1, True)
    floor.run(20, 0.1)
    assert (floor.liquidations.open, floor.tally.executed, floor.tally.takeovers) == (0, 1, 1)
    assert books.state("a-000001").positions == {}
    *traded, taken = floor.desk.taken()
    assert (taken.trade_id[:2], taken.side, taken.price) == ("k-", side, limit)
    assert {it.trade_id[:2] for it in traded} == {"l-"}
    assert sum(it.quantity for it in traded) + taken.quantity == 50
    assert books.fund.positions[BTC].quantity == (taken.quantity if side == "sell" else -taken.quantity)


def test_an_order_when_the_price_comes_back_then_it_is_traded_after_all(floor: Floor, market: Market) -> None:
    limit = market.quoted(BTC) * Decimal("0.98")
    assert floor.liquidations.offer(requested(1, 2, limit)) is None
    for second in range(1, 30):
        floor.run(10, 0.1)
        # 1.8 are traded at once; within two seconds the price has come back far enough for the rest
        market.advance(2.0 * second)
    assert (floor.liquidations.open, floor.tally.executed, floor.tally.takeovers) == (0, 1, 0)


def test_a_newer_plan_when_it_knows_too_little_then_voids_the_older_one_all_the_same(floor: Floor) -> None:
    assert floor.liquidations.offer(requested(1, 50, None)) is None
    assert floor.run(1, 0.1) == 1
    floor.arrived(7)
    assert floor.liquidations.offer(requested(2, 50, None)) is Refusal.BEHIND
    assert (floor.liquidations.open, floor.tally.replaced) == (0, 1)
    assert floor.run(1, 0.1) == 0
    assert floor.liquidations.offer(requested(3, 40, None, fills=7)) is None
    assert floor.liquidations.open == 1


def test_fence_when_anything_of_the_account_is_newer_or_on_its_way_then_it_was_passed_by() -> None:
    fence = Fence()
    assert not fence.passed_by("a", -1, -1)
    fence.sent("a")
    assert fence.passed_by("a", 100, 100)
    fence.acknowledged("a", Topic.FILLS, 7)
    assert fence.passed_by("a", 6, 100)
    assert not fence.passed_by("a", 7, -1)
    fence.sent("a")
    fence.acknowledged("a", Topic.FILLS, -1)  # the broker had it already and does not say where
    assert not fence.passed_by("a", 7, -1)
    assert not fence.passed_by("b", -1, -1)


def test_tags_then_tell_which_liquidation_a_message_executes() -> None:
    tag = tag_of("a-000001/cross/3")
    assert tag_in(fill("a", "buy", "1", "1", trade_id=f"l-{tag}-12")) == tag
    assert tag_in(deposit("a", "1", entry_id=f"k-{tag}-2d")) == tag
    assert tag_in(fill("a", "buy", "1", "1", trade_id=f"a-{tag}-1")) is None  # of somebody else's
    assert tag_in(fill("a", "buy", "1", "1")) is None
    assert tag_of("a-000001/cross/30") != tag


def test_agents_then_have_a_habit_for_every_style_and_their_shares_are_known() -> None:
    assert {style.name for style in AGENT_STYLES} == set(HABITS)
    assert all(habit.deposits + habit.reduces <= 1 for habit in HABITS.values())
    assert number_of("a-000042") == 42
    assert number_of("street") is None


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenarios_then_begin_at_the_sample_market_and_move_as_they_say(policy: Policy, name: str) -> None:
    scenario = SCENARIOS[name]
    path = ScenarioPath(scenario, policy, seed=5, seconds=100.0)
    start, end = path.at(0.0), path.at(100.0)
    assert start["BTC"] == pytest.approx(113_000)
    coins = [coin for coin in start if coin not in {"USDT", "USD"}]
    moved = sum(end[coin] / start[coin] - 1 for coin in coins) / len(coins)
    final = scenario.course[-1][1] * scenario.move
    assert (moved < -0.1) is (final > 0.3)
    assert (moved > 0.1) is (final < -0.3)
    worst = min(path.at(second / 10)["USDT"] for second in range(1001))
    assert worst == pytest.approx(1 - scenario.stable_fall, abs=0.01)
    assert path.silent(50.0) is (name in {"outage", "restart-on-old-prices"})


def test_a_recording_then_is_the_path_and_ends_where_it_ends(policy: Policy, tmp_path: Path) -> None:
    rows = [
        "ts_ms,symbol,price,qty",
        "1760000001000,BTCUSDT,100000,1",
        "1760000002000,BTCUSDT,90000,1",
        "1760000061000,ETHUSDT,5,1",
    ]
    file = tmp_path / "trades_x.csv"
    file.write_text("\n".join(rows) + "\n")
    (tmp_path / "klines_x.csv").write_text("unused")
    assert recording_in(tmp_path) == file
    recording = Recording(file, policy, speed=1.0)
    assert recorded_seconds(recording, None) == 60.0
    assert recorded_seconds(recording, 1_760_000_031_000) == 30.0
    path = RecordedPath(recording, policy)
    assert path.at(0.5)["BTC"] == 100_000
    assert path.at(1.0)["BTC"] == 90_000
    assert path.at(59.0)["ETH"] == 5.0  # known from the beginning: the first price of its recording
    assert path.at(61.0)["USDT"] == 1.0


def test_a_directory_without_a_recording_then_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no file in this directory ends in"):
        recording_in(tmp_path)


def test_metrics_then_tell_the_cascade_the_fund_and_that_nothing_is_missing() -> None:
    market = simulation("flash-crash")
    played(market)
    page = generate_latest(registry_of(market)).decode()
    assert 'exchange_conservation_difference{asset="USDT"} 0.0' in page
    assert f"exchange_steps_total {market.tally.steps}.0" in page
    assert f'exchange_liquidations_total{{outcome="executed"}} {market.tally.executed}.0' in page
    assert "exchange_insurance_fund_equity" in page
    assert 'exchange_liquidated_notional_total{symbol="' in page


def test_the_command_offline_then_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    files = []
    for number in ("0", "1"):
        file = tmp_path / f"events-{number}.jsonl"
        arguments = (
            "simulate",
            "--offline",
            "--accounts",
            "80",
            "--seconds",
            "12",
            "--ticks-per-second",
            "105",
        )
        done = subprocess.run(
            command(*arguments, "--events", str(file), "--json"),
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            check=True,
        )
        files.append((file.read_bytes(), json.loads(done.stdout)))
    assert files[0] == files[1]
    data, summary = files[0]
    assert summary["conserved"]
    assert summary["liquidations_executed"] > 0
    assert summary["conservation"]["USDT"]["difference"] == "0"
    assert data.count(b"\n") > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "boom", "--offline"], "--scenario 'boom': one of calm, flash-crash"),
        (["--events", "x.jsonl"], "belong to --offline"),
        (["--ticks-per-second", "1", "--offline"], "symbols need at least"),
        (["--data", "missing.csv", "--offline"], "missing.csv.*No such file"),
        (["--speed", "fast", "--offline"], "--speed 'fast': a number above 0, or max"),
        (
            ["--offline", "--events", "no/such/place.jsonl", "--accounts", "1"],
            "no/such/place.jsonl: No such file",
        ),
    ],
)
def test_the_command_when_misused_then_says_how(arguments: list[str], message: str) -> None:
    code, out, err = unimargin("simulate", *arguments)
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert "Traceback" not in err


def test_an_account_that_was_never_named_then_is_empty(books: Books) -> None:
    assert books.state("a-000009") == AccountState("a-000009")
