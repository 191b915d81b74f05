"""Flink SQL: one continuous query from Kafka to Kafka. Own interpreter; packages: apache-flink.

Arguments: bootstrap servers, the connector's jar, maintenance rate, haircut ratio, call line, liquidation line.
"""

import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

SETTINGS = {
    "parallelism.default": "2",
    "pipeline.object-reuse": "true",
    "execution.buffer-timeout.interval": "5 ms",
    "state.backend.type": "hashmap",
    # Folds what a price retracts and what it adds; without it sums are said that lack a position.
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "50 ms",
    "table.exec.mini-batch.size": "50000",
}
PRICES = """
CREATE TABLE prices (symbol STRING, price DOUBLE, PRIMARY KEY (symbol) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'peer-prices', 'properties.bootstrap.servers' = '{bootstrap}',
  'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY')
"""
# Cash is a position of price 1 that needs no margin: one join and one sum less.
POSITIONS = """
CREATE TABLE positions (account STRING, symbol STRING, quantity DOUBLE, size DOUBLE, entry_value DOUBLE) WITH (
  'connector' = 'kafka', 'topic' = 'peer-positions', 'properties.bootstrap.servers' = '{bootstrap}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json')
"""
CROSSINGS = """
CREATE TABLE crossings (account STRING, band INT, PRIMARY KEY (account) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'peer-crossings', 'properties.bootstrap.servers' = '{bootstrap}',
  'key.format' = 'raw', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY')
"""
QUERY = """
INSERT INTO crossings
SELECT account, CASE WHEN collateral < {liquidation} * required THEN 2 ELSE 1 END
FROM (
  SELECT account, {haircut} * SUM(quantity * price - entry_value) AS collateral, {rate} * SUM(size * price) AS required
  FROM positions JOIN prices ON positions.symbol = prices.symbol GROUP BY account
)
WHERE collateral < {call} * required
"""


def main(bootstrap: str, connector: str, *terms: str) -> None:
    """Run the query until the process is ended."""
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in {**SETTINGS, "pipeline.jars": f"file://{connector}"}.items():
        tables.get_config().set(name, value)
    for text in (PRICES, POSITIONS, CROSSINGS):
        tables.execute_sql(text.format(bootstrap=bootstrap))
    names = ("rate", "haircut", "call", "liquidation")
    tables.execute_sql(QUERY.format(**dict(zip(names, terms, strict=True)))).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
