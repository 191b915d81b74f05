"""The simulated exchange with the engine in one process: nothing is made or lost, and what the engine asks for happens."""

from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.events.effects import EventType, Stream
from engine.inputs import Deposit, Fill, OrderUpdate, Withdrawal
from engine.ladder import Band
from engine.marks.mark_book import NANOSECONDS
from engine.policy import OpenInterestScaling
from streams.config.settings import load_policy
from streams.exchange.clearing.conservation import NotConserved
from streams.exchange.clearing.input_desk import tag_in, tag_of, topic_of
from streams.exchange.market.named_scenarios import SCENARIOS
from streams.exchange.offline_simulation import START_NS, OfflineEngine, run_offline
from streams.exchange.simulation_report import summarised
from tests.support.simulating import Played, played, simulation, without_offsets

BTC = "BTC-USDT-PERP"
REQUESTS = {EventType.LIQUIDATION_REQUESTED, EventType.ACCOUNT_BANKRUPT}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_when_played_then_nothing_is_made_or_lost_and_the_engine_has_the_same_books(
    scenario: str, seed: int
) -> None:
    # each step checks the equation of every asset, and that every contract has another side: `NotConserved` else
    market = simulation(scenario, seed=seed)
    _, engine, _, _ = played(market)
    assert market.tally.steps >= len(list(market.options.timeline())) >= 24 * 10
    assert all(balance.difference == 0 for balance in market.balances.values())
    assert market.books.recounted()
    for account, state in market.books.customers.items():
        assert without_offsets(engine.book.state(account)) == without_offsets(state)


def test_marks_when_the_policy_scales_with_open_interest_then_they_say_that_of_the_exchanges_own_books() -> (
    None
):
    rules = load_policy(None)
    scaling = OpenInterestScaling(lower_cap=Decimal(10), upper_cap=Decimal(10) ** 12)
    btc = replace(rules.instruments[BTC], open_interest=scaling)
    scaled = replace(rules, instruments={**rules.instruments, BTC: btc})
    market = simulation("flash-crash", accounts=60, seconds=6.0, policy=scaled)
    engine = OfflineEngine(scaled)
    expected = [market.books.open_interest(BTC) for _ in run_offline(market, engine)]
    said = [
        mark.open_interest
        for _, marks in market.marks_by_step
        for mark in marks
        if mark.symbol == BTC and mark.open_interest is not None
    ]
    # each of them as the step before left the books
    assert said[1:] == expected[: len(said) - 1]
    assert len(set(said)) > 5
    others = (mark for _, marks in market.marks_by_step for mark in marks if mark.symbol != BTC)
    assert {mark.open_interest for mark in others} == {None}
    assert engine.marks.prices.marks[BTC].open_interest == said[-1]


def test_conservation_when_a_cent_is_missing_then_the_step_and_the_difference_are_named() -> None:
    market = simulation("calm", accounts=20, seconds=2.0)
    played(market)
    market.books.fees["USDT"] -= Decimal("0.01")
    with pytest.raises(NotConserved, match=r"step 20: -0\.01 USDT too much"):
        market.step(3.0, START_NS + 3 * NANOSECONDS)


def test_conservation_when_a_contract_has_no_other_side_then_it_is_named() -> None:
    market = simulation("calm", accounts=20, seconds=2.0)
    played(market)
    market.books.trade_of_fund("BTC-USDT-PERP", Decimal(1), Decimal(100))
    market.books.check(market.prices, 1)  # both sides of a trade: fine
    market.books._trade("street", "BTC-USDT-PERP", Decimal(2), Decimal(100))
    with pytest.raises(NotConserved, match="2 contracts of BTC-USDT-PERP have no other side"):
        market.books.check(market.prices, 2)


def test_sums_when_an_account_is_changed_behind_their_back_then_a_recount_tells() -> None:
    market = simulation("calm", accounts=20, seconds=2.0)
    played(market)
    assert market.books.recounted()
    market.books.customers.pop("a-000003")
    assert not market.books.recounted()


def test_a_market_when_played_again_then_says_the_same_bytes() -> None:
    first, again = (played(simulation("flash-crash", bad_ticks=True)) for _ in range(2))
    assert first.data == again.data
    assert first.simulation.inputs == again.simulation.inputs
    assert told(first) == told(again)
    assert played(simulation("flash-crash", seed=2)).data != first.data


def test_a_market_when_judged_by_the_plain_book_then_goes_the_same_way() -> None:
    columnar, plain = (played(simulation("flash-crash", accounts=60), plain=plain) for plain in (False, True))
    assert columnar.data == plain.data
    assert columnar.simulation.inputs == plain.simulation.inputs


def told(run: Played) -> object:
    return summarised(run.simulation, "test", "ended", cascade=True)


def test_a_crash_when_trades_move_prices_then_more_is_liquidated_than_without() -> None:
    # a cascade: the fall alone is the same in both, what is added are the liquidations' own sales
    with_impact, without = 0.0, 0.0
    for seed in (1, 2, 3):
        for impact in (1.0, 0.0):
            market = simulation("flash-crash", seed=seed, accounts=250, seconds=30.0, impact=impact)
            played(market)
            liquidated = sum(market.tally.liquidated.values())
            if impact:
                with_impact += liquidated
            else:
                without += liquidated
    assert with_impact > 1.05 * without > 0


def test_a_fall_then_pools_are_cured_by_reductions_and_by_takeovers() -> None:
    market = simulation("slow-grind", accounts=200, seconds=200.0, steps_per_second=4.0)
    run = played(market)
    how: defaultdict[str | None, set[str]] = defaultdict(set)
    for message in market.inputs:
        if isinstance(message, Fill) and message.liquidation_id:
            how[message.liquidation_id].add(message.trade_id[:2])
    episodes: defaultdict[tuple[str, str | None], set[str]] = defaultdict(set)
    cured = Counter[str]()
    for event in run.events:
        pool = (event.account, event.position)
        if event.type in REQUESTS:
            episodes[pool] |= how[event.liquidation_id]
        elif event.type is EventType.LIQUIDATION_COMPLETED:
            cured["takeover" if "k-" in episodes.pop(pool) else "reduction"] += 1
    # the ladder let both go: above the exit line for its hold time, at the engine's own figures
    assert cured["reduction"] > 0
    assert cured["takeover"] > 0


def test_a_takeover_of_the_shared_pool_then_leaves_neither_positions_nor_assets_nor_debts() -> None:
    market = simulation("flash-crash", accounts=250)
    run = played(market)
    of_shared = {it.liquidation_id for it in run.events if it.type in REQUESTS and it.position is None}
    last = {it.account: it for it in market.inputs}
    # nothing has come for these accounts since
    swept = [
        account
        for account, it in last.items()
        if it.input_id.startswith("k-") and it.liquidation_id in of_shared
    ]
    assert len(swept) > 10
    for account in swept:
        state = market.books.state(account)
        assert not state.positions
        # what an input cannot say any more
        assert all(0 <= amount < Decimal("1e-18") for amount in state.balances.values())


def test_a_cascade_then_every_fill_and_entry_that_executes_a_plan_names_it_and_every_pool_is_out_at_the_end() -> (
    None
):
    market = simulation("flash-crash", accounts=250)
    run = played(market)
    executing = [
        it for it in market.inputs if it.input_id.startswith(("l-", "k-")) and not isinstance(it, OrderUpdate)
    ]
    assert {type(it) for it in executing} >= {Fill, Deposit, Withdrawal}
    assert all(it.liquidation_id for it in executing)
    newest = {(it.account, it.position): it for it in run.events if it.stream is Stream.LIQUIDATIONS}
    assert newest
    assert {it.type for it in newest.values()} == {EventType.LIQUIDATION_COMPLETED}


def test_liquidations_when_every_event_is_delivered_twice_then_each_is_executed_once() -> None:
    once = played(simulation("flash-crash"))
    market = simulation("flash-crash")
    engine = OfflineEngine(market.policy)
    hear = market.take

    def twice(events):
        heard = list(events)
        hear(heard)
        hear([it for it in heard if it.type in REQUESTS or it.type is EventType.LIQUIDATION_COMPLETED])

    market.take = twice
    for _ in run_offline(market, engine):
        pass
    assert market.inputs == once.simulation.inputs
    asked = sum(it.type in REQUESTS or it.type is EventType.LIQUIDATION_COMPLETED for it in once.events)
    # the events of the last step are never heard
    assert 0 < market.tally.refused["duplicate"] <= asked


def test_liquidations_then_no_id_closes_more_than_its_plan_says() -> None:
    run = played(simulation("flash-crash", accounts=250))
    planned: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for event in run.events:
        for step in event.plan.steps if event.type in REQUESTS and event.plan else ():
            if hasattr(step, "side"):
                key = (event.liquidation_id, step.symbol)
                planned[key] = max(planned[key], step.quantity)
    closed: Counter[tuple[str, str]] = Counter()
    lots = {contract.symbol: contract.step for contract in run.simulation.population.contracts}
    for fill in run.simulation.inputs:
        if isinstance(fill, Fill) and fill.liquidation_id:
            assert tag_in(fill) == tag_of(fill.liquidation_id)
            closed[fill.liquidation_id, fill.symbol] += fill.quantity
    assert closed
    for key, quantity in closed.items():
        # the exchange's lots may be coarser than the plan's: at most one lot a step more
        assert quantity <= planned[key] + lots[key[1]] * 10, key


def test_ids_then_no_message_of_an_account_is_ever_repeated() -> None:
    run = played(simulation("flash-crash", accounts=250))
    ids = Counter((topic_of(it), it.account, it.input_id) for it in run.simulation.inputs)
    assert max(ids.values()) == 1
    assert not [it for it in run.simulation.inputs if len(it.input_id) > 128]


def test_an_exchange_when_its_answers_do_not_come_then_executes_nothing_on_what_it_does_not_know() -> None:
    market = simulation("flash-crash")
    engine = OfflineEngine(market.policy)
    market.fence.acknowledged = lambda *_: None  # every message stays on its way for ever
    for _ in run_offline(market, engine):
        pass
    assert market.tally.refused["behind"] > 0
    assert market.tally.taken == 0


def test_an_outage_then_prices_stop_and_nobody_is_judged_until_they_are_all_back() -> None:
    # 60 s: silent from 0.35 * 60 = 21 s until 0.6 * 60 = 36 s; a price is stale after 10 s, so from 31 s on
    market = simulation("outage", accounts=250, seconds=60.0)
    run = played(market)
    silent = [marks for second, marks in market.marks_by_step if 21 <= second < 36]
    assert len(silent) == 150
    assert not any(silent)
    assert all(marks for second, marks in market.marks_by_step if second < 21 or second >= 36)
    by_second = [((it.time_ns - START_NS) / NANOSECONDS, it) for it in run.events]
    assert EventType.DEGRADED not in {it.type for it in run.events}
    assert [it for second, it in by_second if 31 <= second < 36] == []
    asked = [second for second, it in by_second if it.type in REQUESTS]
    assert min(asked) < 31
    assert max(asked) >= 36


def test_margin_calls_then_some_are_met_and_those_accounts_paid_more_in() -> None:
    market = simulation("slow-grind", accounts=250, seconds=60.0)
    played(market)
    assert 0 < market.tally.calls_met < market.tally.calls
    top_ups = [it for it in market.inputs if it.input_id.startswith("e-a-")]
    assert top_ups
    opened = sum(not it.input_id.startswith("e-a-") and it.input_id[0] == "e" for it in market.inputs)
    assert opened > len(top_ups)


def test_funding_then_its_payments_and_the_street_s_sum_to_zero() -> None:
    market = simulation("calm", funding_at=(10.0,))
    paid: Counter[str] = Counter()
    played(market)
    payments = [it for it in market.inputs if it.input_id.startswith("f-")]
    for payment in payments:
        paid[payment.symbol] += payment.amount
    assert market.tally.funding_settlements == 1
    assert len({payment.account for payment in payments}) > 50
    # longs outweigh shorts among customers, so customers pay and the street receives: conservation has it exact
    assert paid["BTC-USDT-PERP"] < 0


def test_books_when_made_again_from_the_messages_then_are_the_same_and_know_what_was_executed() -> None:
    run = played(simulation("flash-crash"))
    again = simulation("flash-crash")
    for offset, message in enumerate(run.simulation.inputs):
        again.resume(message, offset)
    assert not list(again.opening(START_NS))
    again.open()
    assert again.books.customers == run.simulation.books.customers
    assert again.books.fees == run.simulation.books.fees
    assert again.books.recounted()
    done = [it for it in run.events if it.type in REQUESTS and it.plan]
    executed = {tag_in(it) for it in run.simulation.inputs} - {None}
    again.take(done)
    asked = {it.liquidation_id for it in done}
    assert len(executed & {tag_of(one) for one in asked}) > 10
    assert again.tally.taken == 0


def test_books_when_only_a_prefix_of_the_opening_was_sent_then_the_rest_is_sent() -> None:
    whole = simulation("calm", accounts=30)
    messages = list(whole.opening(START_NS))
    again = simulation("calm", accounts=30)
    for offset, message in enumerate(messages[:25]):
        again.resume(message, offset)
    assert list(again.opening(START_NS)) == messages[25:]
    assert again.books.customers == whole.books.customers


def test_final_bands_when_a_crash_is_over_then_nobody_is_left_in_liquidation() -> None:
    market = simulation("flash-crash", accounts=250, seconds=45.0)
    run = played(market)
    bands = run.engine.book.totals([]).accounts_by_band
    assert bands[Band.HEALTHY] >= 245
    assert not any(isinstance(it, OrderUpdate) and it.quantity for it in market.inputs)


def test_an_exchange_when_taken_up_in_the_middle_then_goes_on_from_the_last_marks_and_makes_up_for_nothing() -> (
    None
):
    run = played(simulation("flash-crash", seconds=24.0))
    again = simulation("flash-crash", seconds=60.0)
    for offset, message in enumerate(run.simulation.inputs):
        again.resume(message, offset)
    assert not list(again.opening(START_NS))
    last = run.simulation.marks_by_step[-1][1]
    again.follow(last)
    again.open(30.0)
    said = again.step(30.1, START_NS)
    # 20 orders a second: two in a tenth, not six hundred; funding was due at 12 s and is not settled again
    assert again.tally.agent_orders < 20
    assert again.tally.funding_settlements == 0
    quoted = {mark.symbol: mark for mark in said.marks}
    for mark in last:
        assert quoted[mark.symbol].sequence == mark.sequence + 1
        assert abs(quoted[mark.symbol].price / mark.price - 1) <= Decimal("0.05")
