"""What every risk engine should survive, each incident with its guards and without: what must hold, and that it would not hold by itself."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.events.effects import EventType, RiskEvent
from engine.events.pools import pool_figures
from engine.inputs import FundingPayment
from engine.ladder import Band
from engine.ladder.table import LIQUIDATING
from engine.margin.isolated_pool import open_isolated
from engine.marks.mark_book import NANOSECONDS
from engine.policy import parse
from engine.policy.reading.toml_text import document_text
from streams.config.settings import load_policy, policy_text
from streams.exchange.clearing.verdicts import CONDEMNING
from streams.exchange.market.named_scenarios import INCIDENTS, SCENARIOS
from streams.exchange.market.scenario_policy import overlaid
from streams.exchange.offline_simulation import START_NS, OfflineEngine, run_offline
from streams.exchange.simulation_report import summarised
from tests.support.cli import unimargin
from tests.support.simulating import Played, played, simulation

ACCOUNTS, SECONDS = 300, 40.0
NAMES = [scenario.name for scenario in INCIDENTS]


@cache
def run_of(name: str, *, guarded: bool = True, accounts: int = ACCOUNTS, seconds: float = SECONDS) -> Played:
    """A run that tests only look at."""
    return played(simulation(name, accounts=accounts, seconds=seconds, guarded=guarded))


def condemned(run: Played) -> Iterator[tuple[float, RiskEvent]]:
    """Each pool's way into liquidation or bankruptcy from a better band: the part of the market's length, and the event."""
    for event in run.events:
        if event.type in CONDEMNING and event.previous_band not in LIQUIDATING:
            yield part_of(run, event), event


def part_of(run: Played, event: RiskEvent) -> float:
    return (event.time_ns - START_NS) / NANOSECONDS / run.simulation.options.seconds


def overlooked(run: Played) -> list[tuple[str, str]]:
    """Pools below the liquidation line by the last true prices and true books, of which the engine has not said so."""
    market = run.simulation
    found = []
    for account, state in market.books.customers.items():
        bands = run.engine.book.risk(account).pools
        for pool in ("", *open_isolated(state)):
            figures = pool_figures(state, pool, market._true_prices(), market.policy)
            below = figures.collateral_value < market.policy.ladder.liquidation * figures.requirement
            if below and (pool not in bands or bands[pool].band not in LIQUIDATING):
                found.append((account, pool))
    return found


def check_whole(run: Played) -> None:
    """What holds in every incident: nothing is lost, nobody is overlooked, every plan ends."""
    market = run.simulation
    assert all(balance.difference == 0 for balance in market.balances.values())
    assert market.books.recounted()
    assert overlooked(run) == []
    assert market.liquidations_open == 0


def test_depeg_when_one_book_is_off_then_it_is_doubted_and_no_liquidation_rests_on_it() -> None:
    run = run_of("depeg-one-venue")
    check_whole(run)
    verdicts = run.simulation.verdicts
    assert "USDE-USD" in verdicts.doubted
    assert verdicts.degraded
    assert not verdicts.wrongly
    # who was doubted is not so for ever: the book agrees with the issuer again at 0.75 of the length
    assert verdicts.by_type[EventType.RECOVERED] == verdicts.by_type[EventType.DEGRADED]
    assert run.engine.book.totals([]).accounts_degraded == 0


def test_depeg_when_nobody_asks_a_second_source_then_accounts_are_wrongly_liquidated() -> None:
    run = run_of("depeg-one-venue", guarded=False)
    wrong = run.simulation.verdicts.wrongly
    assert wrong
    marks = {
        event.account: event.marks["USDE-USD"].price for _, event in condemned(run) if event.account in wrong
    }
    assert all(0.64 < price < 1 for price in marks.values())


HALT_SECONDS = 80.0
"""Long enough for a halt of 20 s: a price is stale after 10."""


def test_restart_when_prices_are_old_then_withheld_until_fresh_and_nobody_is_wronged() -> None:
    run = run_of("restart-on-old-prices", seconds=HALT_SECONDS)
    check_whole(run)
    assert not run.simulation.verdicts.wrongly
    scenario = SCENARIOS["restart-on-old-prices"]
    halted, back = scenario.silent
    coherent = scenario.incident.caches_until
    stale = halted + 9.9 / HALT_SECONDS
    asked = [part for part, _ in condemned(run)]
    # nobody is condemned while there is no price, and the market did fall meanwhile
    assert not [part for part in asked if halted < part < back]
    assert [part for part in asked if part >= coherent]
    withheld = [event for event in run.events if event.type is EventType.DEGRADED]
    assert all(stale < part_of(run, event) <= scenario.incident.trades_from for event in withheld)


def test_restart_when_prices_are_coherent_again_then_everybody_is_judged_right_within_a_second() -> None:
    # a jump by more than a tenth over the halt is believed when half a second has confirmed it
    market = simulation("restart-on-old-prices", accounts=ACCOUNTS, seconds=HALT_SECONDS)
    run = Played(market, OfflineEngine(market.policy), [], [])
    until = SCENARIOS["restart-on-old-prices"].incident.caches_until * HALT_SECONDS + 1.0
    for _ in run_offline(market, run.engine):
        if market.second >= until:
            break
    assert overlooked(run) == []
    assert not market.verdicts.wrongly


def test_restart_when_stale_prices_count_as_nothing_then_most_healthy_accounts_are_liquidated() -> None:
    run = run_of("restart-on-old-prices", guarded=False, seconds=HALT_SECONDS)
    wrong = run.simulation.verdicts.wrongly
    assert len(wrong) > ACCOUNTS / 2
    assert run.simulation.verdicts.liquidated > wrong


def test_burst_when_eighty_times_as_much_comes_then_it_is_all_judged_and_nobody_wrongly() -> None:
    run = run_of("burst-80x")
    check_whole(run)
    since, until, times = SCENARIOS["burst-80x"].incident.burst
    assert times == 80
    within = [
        marks for second, marks in run.simulation.marks_by_step if since < second / SECONDS <= until and marks
    ]
    usual = (until - since) * SECONDS * run.simulation.options.steps_per_second
    assert len(within) == pytest.approx(times * usual, rel=0.05)
    orders = [
        it
        for it in run.simulation.inputs
        if it.input_id.startswith("t-") and since < (it.time_ns - START_NS) / NANOSECONDS / SECONDS <= until
    ]
    assert len(orders) > 20 * (until - since) * SECONDS * run.simulation.options.orders_per_second
    assert not run.simulation.verdicts.wrongly
    # in one process there is no queue: what an instant condemns is asked for at that instant
    asked = [event for part, event in condemned(run) if since < part <= until]
    assert asked
    assert all(event.cause_time_ns in {event.time_ns, None} for event in asked)


def test_bad_ledger_when_a_job_ruins_everybody_then_held_named_and_voided_on_record() -> None:
    run = run_of("bad-ledger")
    check_whole(run)
    verdicts = run.simulation.verdicts
    assert not verdicts.wrongly
    (hold,) = verdicts.holds.values()
    assert hold.second == pytest.approx(SECONDS / 2, abs=0.2)
    batch = next(it for it in hold.cause.inputs if "funding_payment" in it.kinds)
    assert batch.topic == "ledger"
    payments = [it for it in run.simulation.inputs if isinstance(it, FundingPayment) and abs(it.amount) > 0]
    assert batch.kinds["funding_payment"] <= batch.last_offset - batch.first_offset + 1 <= len(payments)
    assert hold.held.accounts > 30
    assert (hold.ended, hold.why) == ("voided", "funding of the wrong job was paid back")
    # calls went on meanwhile
    assert [it for it in run.events if it.type is EventType.REDUCE_ONLY_OPENED and it.breaker is not None]
    # while it holds nobody is liquidated, not even who has to be; after it only they
    wrong = SCENARIOS["bad-ledger"].incident.wrong_funding
    assert not [part for part, _ in condemned(run) if wrong.at < part < wrong.repaired_at]
    assert len(verdicts.liquidated) < hold.held.accounts / 10


def test_bad_ledger_when_there_is_no_breaker_then_a_quarter_of_the_accounts_is_wrongly_liquidated() -> None:
    run = run_of("bad-ledger", guarded=False)
    verdicts = run.simulation.verdicts
    assert len(verdicts.wrongly) > ACCOUNTS / 5
    assert not verdicts.holds
    assert run.simulation.tally.fund_low < 0


@pytest.mark.parametrize("guarded", [True, False])
def test_cascade_when_the_fund_runs_dry_then_every_plan_ends_and_nothing_is_lost(*, guarded: bool) -> None:
    run = run_of("cascade-and-adl", guarded=guarded)
    check_whole(run)
    tally = run.simulation.tally
    assert tally.deleveragings > 20
    assert tally.takeovers > 20
    assert tally.fund_low < 0 < tally.fund_start
    assert not run.simulation.verdicts.wrongly
    bands = run.engine.book.totals([]).accounts_by_band
    assert not bands.keys() & LIQUIDATING
    assert all(hold.ended == "released" for hold in run.simulation.verdicts.holds.values())
    assert bool(run.simulation.verdicts.holds) is guarded


def test_cascade_when_no_operator_decides_then_the_market_ends_and_who_is_left_is_told_as_held() -> None:
    market = simulation("cascade-and-adl", accounts=ACCOUNTS, seconds=SECONDS)
    market.options = replace(market.options, incident=replace(market.options.incident, decisions=()))
    run = played(market)
    # it does not wait for pools that nobody lets go on
    assert (market.second, market.liquidations_open) == (SECONDS, 0)
    in_liquidation = run.engine.book.totals([]).accounts_by_band.keys() & LIQUIDATING
    assert in_liquidation
    assert all(hold.ended is None for hold in market.verdicts.holds.values())
    left = {name for name in market.books.customers if in_liquidation & _bands(run, name)}
    assert left <= run.engine.book.breaker.held.keys()


def _bands(run: Played, account: str) -> set[Band]:
    return {it.band for it in run.engine.book.risk(account).pools.values()}


@pytest.mark.parametrize("name", NAMES)
def test_incident_when_played_by_command_twice_then_the_same_bytes_and_the_page_s_figures(
    name: str,
) -> None:
    command = (
        "simulate",
        "--offline",
        "--scenario",
        name,
        "--seed",
        "1",
        "--accounts",
        "60",
        "--seconds",
        "12",
    )
    for guards in ((), ("--guard-off",)):
        first, again = (unimargin(*command, *guards, "--json") for _ in range(2))
        assert first.code == 0, first.err
        assert first.out == again.out
        assert {"wrongly_liquidated", "holds", "doubted", "events", "accounts_called"} <= first.json.keys()
    shown = unimargin(*command)
    assert "wrongly" in shown.out


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_policy_of_an_incident_when_written_then_it_is_the_one_that_is_played_by(
    name: str, tmp_path: Path, *, guarded: bool
) -> None:
    file = tmp_path / "policy.toml"
    said = unimargin(
        "simulate", "--scenario", name, "--write-policy", str(file), *(() if guarded else ("--guard-off",))
    )
    assert said.code == 0, said.err
    market = simulation(name, accounts=2, guarded=guarded)
    assert load_policy(file).digest == market.policy.digest
    guards = (
        market.policy.second_sources,
        market.policy.breaker,
        market.policy.prices.stale_grace_seconds,
        market.policy.ladder.withhold_liquidation_when_degraded,
    )
    if not guarded:
        assert guards == ({}, None, 0, False)


def test_document_when_written_then_reads_as_the_same_policy() -> None:
    for file in sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.toml")):
        written = parse(document_text(overlaid(policy_text(file), "")))
        assert written == load_policy(file), file


def test_overlay_when_it_names_a_part_of_a_table_then_the_rest_stays() -> None:
    document = overlaid(policy_text(None), "[breaker]\naccounts_min = 7\n")
    assert document["breaker"]["accounts_min"] == 7
    assert document["breaker"]["window_seconds"] == 10


def test_simulate_when_guard_off_is_asked_of_real_servers_then_refused() -> None:
    said = unimargin("simulate", "--scenario", "bad-ledger", "--guard-off")
    assert said.code == 2
    assert "--offline" in said.err


def test_simulate_when_the_policy_does_not_price_the_incident_then_the_demo_says_so() -> None:
    said = unimargin("demo", "--scenario", "depeg-one-venue")
    assert said.code == 2
    assert "--write-policy" in said.err


def test_summary_when_a_hold_ends_then_it_says_who_was_held_and_why_it_ended() -> None:
    summary = summarised(run_of("bad-ledger").simulation, "bad-ledger", "ended")
    (hold,) = summary.holds
    assert hold.held.accounts > 0
    assert summary.wrongly_liquidated == 0
    assert summary.events["engine.liquidations_voided"] == 1
