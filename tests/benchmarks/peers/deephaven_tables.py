"""Deephaven: tables that tick, embedded in the process. Own interpreter; packages: deephaven-server (it needs Java 17)."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import which

import timed_peer

JVM = (
    "-Xmx4g",
    # As soon as something came, not once a second.
    "-DPeriodicUpdateGraph.targetCycleDurationMillis=1",
    "-DPeriodicUpdateGraph.updateThreads=2",
    "-DAuthHandlers=io.deephaven.auth.AnonymousAuthenticationHandler",
    # It keeps what it writes to itself.
    *(f"-Ddeephaven.{it}Dir={Path.cwd() / it}" for it in ("cache", "config", "data")),
)
TIMEOUT_S = 120


def load(scenario: timed_peer.Scenario) -> Callable[[float], timed_peer.Below]:
    """A keyed input table of prices, joined to positions, summed by account, filtered by the lines."""
    os.environ.setdefault("JAVA_HOME", str(Path(which("java")).resolve().parents[1]))
    from deephaven_server import Server  # noqa: PLC0415 - it wants JAVA_HOME

    server = Server(host="127.0.0.1", port=0, jvm_args=list(JVM))
    server.start()
    return _ticking(scenario)


def _ticking(scenario: timed_peer.Scenario) -> Callable[[float], timed_peer.Below]:
    # Only once its JVM runs.
    from deephaven import agg, input_table, new_table  # noqa: PLC0415
    from deephaven.column import double_col, int_col  # noqa: PLC0415
    from deephaven.numpy import to_numpy  # noqa: PLC0415
    from deephaven.table_listener import listen  # noqa: PLC0415

    accounts, quantities = scenario["accounts"], scenario["quantities"]
    positions = new_table(
        [
            int_col("account", accounts.astype("int32")),
            int_col("symbol", scenario["symbols"].astype("int32")),
            double_col("quantity", quantities),
            double_col("size", abs(quantities)),
            double_col("entry_value", quantities * scenario["entry_prices"]),
            double_col("wallet", scenario["wallets"][accounts]),
        ]
    )
    first = new_table(
        [int_col("symbol", range(len(scenario["prices"]))), double_col("price", scenario["prices"])]
    )
    prices = input_table(init_table=first, key_cols="symbol")
    rate, haircut = float(scenario["maintenance_rate"]), float(scenario["haircut_ratio"])
    call, liquidation = scenario["lines"].tolist()
    below_a_line = (
        positions.natural_join(prices, on="symbol", joins="price")
        .update_view(["pnl = quantity * price - entry_value", "required = size * price"])
        .agg_by([agg.sum_(["pnl", "required"]), agg.first("wallet")], by="account")
        .view(["account", f"ratio = {haircut} * (wallet + pnl) / ({rate} * required)"])
        .where(f"ratio < {call}")
        .view(["account", f"band = ratio < {liquidation} ? 2 : 1"])
    )
    found: list[timed_peer.Below] = []
    cycled = threading.Event()

    def on_prices(_update: object, _is_replay: object) -> None:
        rows = to_numpy(below_a_line).reshape(-1, 2)
        found.append((rows[:, 0], rows[:, 1]))
        cycled.set()

    handle = listen(prices, on_prices, dependencies=below_a_line)

    def below(price: float) -> timed_peer.Below:
        cycled.clear()
        prices.add_async(new_table([int_col("symbol", [0]), double_col("price", [price])]))
        assert cycled.wait(TIMEOUT_S), f"{handle}: no cycle within {TIMEOUT_S} s"
        return found.pop()

    return below


if __name__ == "__main__":
    timed_peer.run(load)
    # The server's threads would go on.
    os._exit(0)
