"""DuckDB: one query over all positions at every tick. Own interpreter; packages: duckdb, numpy."""

from collections.abc import Callable

import duckdb
import numpy as np
import timed_peer

QUERY = """
WITH figures AS (
  SELECT account, {haircut} * (any_value(wallet) + sum(quantity * price - entry_value)) AS value,
    {rate} * sum(size * price) AS required
  FROM positions JOIN prices USING (symbol) GROUP BY account
)
SELECT account, CASE WHEN value < {liquidation} * required THEN 2 ELSE 1 END AS band
FROM figures WHERE value < {call} * required
"""


def load(scenario: timed_peer.Scenario) -> Callable[[float], timed_peer.Below]:
    """Tables in memory, 32 bit keys, the wallet as a column of positions, two threads, order given up.

    Slower: wallets joined after the sums, only the accounts of holders of the symbol.
    """
    database = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    accounts, quantities = scenario["accounts"], scenario["quantities"]
    columns = {
        "account": accounts.astype("int32"),
        "symbol": scenario["symbols"].astype("int32"),
        "quantity": quantities,
        "size": abs(quantities),
        "entry_value": quantities * scenario["entry_prices"],
        "wallet": scenario["wallets"][accounts],
    }
    quoted = {
        "symbol": np.arange(len(scenario["prices"]), dtype="int32"),
        "price": scenario["prices"],
    }
    for table, arrays in (("positions", columns), ("prices", quoted)):
        database.register("arrays", arrays)
        database.execute(f"CREATE TABLE {table} AS SELECT * FROM arrays")
    call, liquidation = scenario["lines"].tolist()
    rate, haircut = float(scenario["maintenance_rate"]), float(scenario["haircut_ratio"])
    query = QUERY.format(rate=rate, haircut=haircut, call=call, liquidation=liquidation)

    def below(price: float) -> timed_peer.Below:
        database.execute("UPDATE prices SET price = ? WHERE symbol = 0", [price])
        found = database.execute(query).fetchnumpy()
        return found["account"], found["band"]

    return below


if __name__ == "__main__":
    timed_peer.run(load)
