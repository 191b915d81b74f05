"""The made-up accounts: the same every time, accepted by the ledger, sound at the start and hurt by the crash."""

import time
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest

from engine.book.account_book import drained
from engine.book.plain_book import PlainBook
from engine.events.pools import pool_figures
from engine.inputs import AccountInput, Fill, MarginMode, Mark, Topic
from engine.ladder import SEVERITY, Band
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.config.settings import load_policy
from streams.contract.codec import decode_account_input
from streams.exchange.market.sample_market import start_prices
from streams.exchange.market.scenario import SyntheticCrash
from streams.exchange.traders.population import WEAK_SHARE, Population
from streams.exchange.traders.trading import Trading
from tests.support.instants import together

ACCOUNTS = 300


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(None)


def population(policy: Policy, accounts: int = ACCOUNTS, seed: int = 1) -> Population:
    return Population(policy, accounts, seed, start_prices(policy))


def encoded(inputs: Iterable[AccountInput]) -> list[bytes]:
    return [msgspec.json.encode(message) for message in inputs]


def topic_of(message: AccountInput) -> Topic:
    return Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER


def booked(
    policy: Policy, inputs: Iterable[AccountInput], states: dict[str, AccountState] | None = None
) -> dict[str, AccountState]:
    """The states after `inputs`, each taken through the codec as a worker would; no refusal is allowed."""
    states = {} if states is None else states
    for offset, message in enumerate(inputs):
        topic = topic_of(message)
        read = decode_account_input(topic, message.account.encode(), msgspec.json.encode(message))
        assert read == message
        state = states.get(message.account, AccountState(message.account))
        after = apply(state, read, topic, offset, policy)
        assert isinstance(after, AccountState), f"{message}: {after}"
        states[message.account] = after
    return states


def marks_at_start(policy: Policy) -> dict[str, Mark]:
    return {symbol: Mark(symbol, price, 0, 0) for symbol, price in start_prices(policy).items()}


def judged_at_start(policy: Policy, states: dict[str, AccountState]) -> PlainBook:
    book = PlainBook(policy)
    drained(book.on_instants([together(*marks_at_start(policy).values())]))
    for state in states.values():
        book.put(state)
    drained(book.judge(sorted(states)))
    return book


def random_fills(policy: Policy, seed: int, count: int) -> list[Fill]:
    trading = Trading(population(policy, seed=seed))
    fills = [trading.next_fill(marks_at_start(policy), time_ns=i) for i in range(count)]
    return [fill for fill in fills if fill is not None]


def test_inputs_when_made_again_then_are_the_same_bytes(policy: Policy) -> None:
    first = encoded(population(policy).inputs(7))
    assert first == encoded(population(policy).inputs(7))
    assert first != encoded(population(policy, seed=2).inputs(7))


def test_account_inputs_when_made_alone_then_are_those_of_the_whole(policy: Policy) -> None:
    whole = [message for message in population(policy).inputs(7) if message.account == "a-000042"]
    assert population(policy, accounts=42).account_inputs(42, 7) == whole


def test_inputs_then_count_from_one_per_account_and_topic_under_unique_ids(policy: Policy) -> None:
    inputs = list(population(policy).inputs(7))
    seen: Counter[tuple[str, Topic]] = Counter()
    for message in inputs:
        seen[message.account, topic_of(message)] += 1
        assert message.account_seq == seen[message.account, topic_of(message)]
    assert len({message.input_id for message in inputs}) == len(inputs)
    assert len({message.account for message in inputs}) == ACCOUNTS


def test_inputs_then_show_every_kind_of_position(policy: Policy) -> None:
    fills = [message for message in population(policy).inputs(7) if isinstance(message, Fill)]
    assert any(fill.margin_mode is MarginMode.ISOLATED and fill.margin_transfer > 0 for fill in fills)
    assert any(policy.instruments[fill.symbol].kind == "spot" for fill in fills)
    assert any(fill.fee < 0 for fill in fills)
    assert {fill.side for fill in fills} == {"buy", "sell"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_accounts_at_the_start_then_are_healthy_but_the_weak_ones(policy: Policy, seed: int) -> None:
    states = booked(policy, population(policy, seed=seed).inputs(7))
    book = judged_at_start(policy, states)
    totals = book.totals([])
    assert set(totals.accounts_by_band) <= {Band.HEALTHY, Band.WARNING}
    assert totals.accounts_by_band[Band.HEALTHY] >= 0.96 * ACCOUNTS
    assert set(totals.isolated_by_band) == {Band.HEALTHY}
    prices = Prices(marks_at_start(policy), frozenset())
    figures = [pool_figures(state, "", prices, policy) for state in states.values()]
    below_initial = sum(pool.collateral_value < pool.initial_margin for pool in figures)
    assert below_initial <= 3 * WEAK_SHARE * ACCOUNTS


def test_accounts_in_the_crash_then_some_are_called_and_some_liquidated(policy: Policy) -> None:
    states = booked(policy, population(policy).inputs(7))
    book = judged_at_start(policy, states)
    worst = dict.fromkeys(states, 0)
    isolated_worst = 0
    latest: dict[str, Mark] = {}
    look_at = 0.0
    for mark in SyntheticCrash(policy, seed=1, seconds=60, ticks_per_second=40):
        if mark.believable:
            latest[mark.symbol] = Mark(mark.symbol, mark.price, mark.sequence, int(mark.at_seconds * 1e9))
        if mark.at_seconds >= look_at:
            look_at += 3
            drained(book.on_instants([together(*latest.values())]))
            for account in states:
                bands = {pool: SEVERITY[state.band] for pool, state in book.risk(account).pools.items()}
                worst[account] = max(worst[account], bands.pop("", 0))
                isolated_worst = max(isolated_worst, *bands.values(), 0)
    reached = {band: sum(w >= SEVERITY[band] for w in worst.values()) / ACCOUNTS for band in Band}
    assert 0.03 <= reached[Band.MARGIN_CALL] <= 0.15
    assert 0.01 <= reached[Band.LIQUIDATION] <= reached[Band.MARGIN_CALL]
    assert 0 < reached[Band.BANKRUPT] <= 0.08
    assert isolated_worst >= SEVERITY[Band.LIQUIDATION]


def test_random_fills_when_made_again_then_are_the_same(policy: Policy) -> None:
    first = random_fills(policy, seed=1, count=200)
    assert first == random_fills(policy, seed=1, count=200)
    assert first != random_fills(policy, seed=2, count=200)


def test_random_fills_through_a_crash_then_are_booked_without_refusal(policy: Policy) -> None:
    made = population(policy)
    states = booked(policy, made.inputs(7))
    trading, marks = Trading(made), marks_at_start(policy)
    fills = []
    for mark in SyntheticCrash(policy, seed=3, seconds=60, ticks_per_second=50):
        if mark.believable:
            marks[mark.symbol] = Mark(mark.symbol, mark.price, mark.sequence, 0)
        fill = trading.next_fill(marks, time_ns=8)
        assert fill is not None
        fills.append(fill)
    before = {account: dict(state.positions) for account, state in states.items()}
    after = booked(policy, fills, states)
    assert any(set(state.positions) < set(before[account]) for account, state in after.items())  # closed
    assert any(set(state.positions) > set(before[account]) for account, state in after.items())  # opened
    releases = [
        fill for fill in fills if fill.margin_mode is MarginMode.ISOLATED and fill.margin_transfer < 0
    ]
    assert releases
    for state in after.values():  # a closed isolated position leaves no margin behind
        assert all(isolated.position.quantity for isolated in state.isolated.values())


def test_random_fills_that_open_risk_then_leave_initial_margin_covered(policy: Policy) -> None:
    states = booked(policy, population(policy).inputs(7))
    prices = Prices(marks_at_start(policy), frozenset())

    def uncovered() -> set[str]:
        pools = {account: pool_figures(state, "", prices, policy) for account, state in states.items()}
        return {account for account, pool in pools.items() if pool.collateral_value < pool.initial_margin}

    weak = uncovered()
    booked(policy, random_fills(policy, seed=1, count=500), states)
    assert uncovered() <= weak


def test_population_of_five_thousand_then_takes_under_two_seconds(policy: Policy) -> None:
    began = time.perf_counter()
    assert sum(1 for _ in population(policy, accounts=5_000).inputs(7)) > 20_000
    assert time.perf_counter() - began < 2
