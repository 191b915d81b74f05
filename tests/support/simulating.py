"""Simulated exchanges for tests: small ones, played in this process."""

from typing import NamedTuple

import msgspec

from engine.events.effects import RiskEvent
from engine.inputs import AccountInput, Mark
from engine.ledger.accounts import AccountState
from engine.policy import Policy
from streams.cli.simulate.exchange_options import scenario_rules
from streams.contract.cloudevents import read_risk_event
from streams.exchange.market.market_path import ScenarioPath
from streams.exchange.market.named_scenarios import SCENARIOS
from streams.exchange.offline_simulation import OfflineEngine, run_offline
from streams.exchange.simulation import Simulation, Step
from streams.exchange.simulation_options import SimulationOptions
from streams.exchange.traders.population import Population
from streams.exchange.traders.trading_agents import AGENT_STYLES


class Recorder(Simulation):
    """Remembers everything it said."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.inputs: list[AccountInput] = []
        self.marks_by_step: list[tuple[float, list[Mark]]] = []

    def opening(self, time_ns):
        for message in super().opening(time_ns):
            self.inputs.append(message)
            yield message

    def step(self, second: float, time_ns: int) -> Step:
        said = super().step(second, time_ns)
        self.inputs += said.inputs
        self.marks_by_step.append((second, said.marks))
        return said


class Played(NamedTuple):
    """A market that has ended."""

    simulation: Recorder
    engine: OfflineEngine
    events: list[RiskEvent]
    data: list[bytes]
    """The events as published."""


def simulation(
    scenario: str,
    *,
    seed: int = 1,
    accounts: int = 120,
    seconds: float = 24.0,
    policy: Policy | None = None,
    guarded: bool = True,
    **options,
) -> Recorder:
    """An exchange that is not open yet; by the scenario's own policy where none is given."""
    rules = policy or scenario_rules(None, scenario, guarded=guarded)
    named = SCENARIOS[scenario]
    path = ScenarioPath(named, rules, seed=seed, seconds=seconds)
    population = Population(rules, accounts, seed, path.start_prices, AGENT_STYLES, named.incident.favoured)
    of_scenario = {"fund_part": named.fund_part, "incident": named.incident}
    chosen = {**of_scenario, "steps_per_second": 10.0, "funding_at": (0.2 * seconds,), **options}
    return Recorder(rules, population, path, SimulationOptions(seconds=seconds, **chosen))


def played(market: Recorder, *, plain: bool = False) -> Played:
    """Play it to its end."""
    engine = OfflineEngine(market.policy, plain=plain)
    data: list[bytes] = []
    for _ in run_offline(market, engine, data.append):
        pass
    read = (read_risk_event(line) for line in data)
    return Played(market, engine, [event for event in read if event is not None], data)


def without_offsets(state: AccountState | None) -> AccountState | None:
    """The state as the exchange can know it: not where its inputs lie, but which comes next."""
    if state is None:
        return None
    replace = msgspec.structs.replace
    return replace(state, fills=replace(state.fills, offset=0), ledger=replace(state.ledger, offset=0))
