"""The simulated exchange's own metrics: prefix `exchange_`, labels are listed symbols, assets and fixed words only."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.exchange.simulation import Simulation


class SimulationCollector(Collector):
    """Reads the simulation whenever it is scraped."""

    def __init__(self, simulation: Simulation) -> None:
        """`simulation` is opened."""
        self._simulation = simulation

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        simulation, tally = self._simulation, self._simulation.tally
        yield _counter("steps", "Steps of the market.", tally.steps)
        yield _by_label(
            "liquidated_notional",
            "Notional liquidated in the market or taken over, in account currency.",
            "symbol",
            tally.liquidated,
        )
        yield _by_label(
            "deleveraged_notional",
            "Notional of winners' positions closed by auto-deleveraging, in account currency.",
            "symbol",
            tally.deleveraged_by,
        )
        liquidations = {
            "taken": tally.taken,
            "executed": tally.executed,
            "replaced": tally.replaced,
            **{f"refused_{reason.value}": count for reason, count in tally.refused.items()},
        }
        yield _by_label(
            "liquidations", "Liquidation requests, by what came of them.", "outcome", liquidations
        )
        calls = {"heard": tally.calls, "met": tally.calls_met}
        yield _by_label("margin_calls", "Margin calls that customers heard of, and met.", "outcome", calls)
        yield _gauge("liquidations_open", "Liquidations under way.", simulation.liquidations_open)
        yield _gauge(
            "insurance_fund_equity", "Of the insurance fund, in account currency.", float(tally.fund_equity)
        )
        differences = GaugeMetricFamily(
            "exchange_conservation_difference",
            "Balances + unrealised + fees + insurance fund - deposits, exact: anything but 0 is a fault.",
            labels=["asset"],
        )
        for asset, balance in simulation.balances.items():
            differences.add_metric([asset], float(balance.difference))
        yield differences


def registry_of(simulation: Simulation) -> CollectorRegistry:
    """A registry with the simulation's metrics alone."""
    registry = CollectorRegistry()
    registry.register(SimulationCollector(simulation))
    return registry


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"exchange_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"exchange_{name}", text, value=value)


def _by_label(name: str, text: str, label: str, values: dict[str, float] | dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"exchange_{name}", text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
