"""The simulated exchange that options of the command line ask for, and the policy that its scenario is played by."""

from pathlib import Path

from engine.policy import Policy, PolicyError, parse
from engine.policy.reading.toml_text import document_text
from streams.cli.simulate.feed_command import speed_of, unix_ms
from streams.config.settings import SettingsError, load_policy, policy_text
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.market_path import (
    MarketPath,
    RecordedPath,
    ScenarioPath,
    recorded_seconds,
    recording_in,
)
from streams.exchange.market.named_scenarios import SCENARIOS, MarketScenario
from streams.exchange.market.recorded_layout import Reading
from streams.exchange.market.recording import Recording
from streams.exchange.market.sample_market import quotes
from streams.exchange.market.scenario import check_rate
from streams.exchange.market.scenario_policy import overlaid
from streams.exchange.simulation import Simulation
from streams.exchange.simulation_options import SimulationOptions
from streams.exchange.traders.population import Population
from streams.exchange.traders.trading_agents import AGENT_STYLES

SECONDS = 120.0
FUNDING_PART = 0.2
"""When a scenario settles funding, as a part of its length: once, in its calm beginning."""
FUNDING_SECONDS = 8 * 3600.0
"""A recording settles at the hours of the clock at which exchanges do."""
RECORDED = MarketScenario(name="recorded", title="prices of a recording")


def scenario_named(name: str) -> MarketScenario:
    """The scenario. Raises `FeedError` for none."""
    if name not in SCENARIOS:
        raise FeedError(f"--scenario {name!r}: one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def scenario_policy(file: Path | None, scenario: str, *, guarded: bool) -> str:
    """The text of the policy `file` (None: the shipped one) with the scenario's rules over it. Raises `FeedError` for no scenario."""
    rules = scenario_named(scenario).incident.rules
    load_policy(file)
    text = policy_text(file)
    return document_text(overlaid(text, rules, guarded=guarded)) if rules or not guarded else text


def scenario_rules(file: Path | None, scenario: str, *, guarded: bool) -> Policy:
    """The same as a policy. Raises `SettingsError` where the scenario's rules do not fit it."""
    try:
        return parse(scenario_policy(file, scenario, guarded=guarded))
    except PolicyError as error:
        raise SettingsError(f"the policy with the rules of {scenario}: {error}") from None


def make_simulation(
    rules: Policy,
    *,
    scenario: str,
    seed: int,
    seconds: float | None,
    accounts: int,
    speed: str,
    data: Path | None,
    from_time: str | None,
    to_time: str | None,
    reading: Reading | None = None,
    ticks_per_second: float,
    orders_per_second: float,
    impact: float,
    first_sequence: int = 0,
) -> tuple[Simulation, str, float | None]:
    """The exchange that these options ask for, what its prices follow, and its speed. Raises `FeedError` for none."""
    pace = speed_of(speed)
    check_rate(rules, quotes(rules), ticks_per_second)
    path: MarketPath
    if data is None:
        chosen = scenario_named(scenario)
        length = SECONDS if seconds is None else seconds
        path = ScenarioPath(chosen, rules, seed=seed, seconds=length)
        source = chosen.name
        funding_at: tuple[float, ...] = (FUNDING_PART * length,)
    else:
        file = recording_in(data)
        window = (unix_ms("--from", from_time), unix_ms("--to", to_time))
        recording = Recording(file, rules, speed=1.0, from_ms=window[0], to_ms=window[1], reading=reading)
        chosen = RECORDED
        path, source = RecordedPath(recording, rules), str(file)
        length = recorded_seconds(recording, window[1]) if seconds is None else seconds
        first = FUNDING_SECONDS - recording.start_ms / 1000 % FUNDING_SECONDS
        funding_at = tuple(first + FUNDING_SECONDS * i for i in range(int(length // FUNDING_SECONDS) + 1))
    population = Population(rules, accounts, seed, path.start_prices, AGENT_STYLES, chosen.incident.favoured)
    if not population.contracts:
        raise FeedError(f"policy {rules.name!r} lists no linear perpetual with tiers: nothing is traded here")
    options = SimulationOptions(
        seconds=length,
        steps_per_second=ticks_per_second / len(quotes(rules)) / (pace or 1.0),
        orders_per_second=orders_per_second / (pace or 1.0),
        impact=impact,
        funding_at=funding_at,
        fund_part=chosen.fund_part,
        bad_ticks=chosen.bad_ticks,
        incident=chosen.incident,
    )
    return Simulation(rules, population, path, options, first_sequence=first_sequence), source, pace
