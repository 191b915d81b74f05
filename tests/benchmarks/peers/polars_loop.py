"""Polars: one lazy query over all positions at every tick. Own interpreter; packages: polars, numpy."""

from collections.abc import Callable

import polars as pl
import timed_peer


def load(scenario: timed_peer.Scenario) -> Callable[[float], timed_peer.Below]:
    """Positions carry the wallet as a column, so the only join is that of prices; the lazy engine, all threads.

    Slower: the streaming engine, a gather instead of the join, keeping the order of accounts.
    """
    accounts, symbols, quantities = (scenario[it] for it in ("accounts", "symbols", "quantities"))
    positions = pl.DataFrame(
        {
            "account": accounts.astype("int32"),
            "symbol": symbols.astype("int32"),
            "quantity": quantities,
            "size": abs(quantities),
            "entry_value": quantities * scenario["entry_prices"],
            "wallet": scenario["wallets"][accounts],
        }
    )
    prices = scenario["prices"].copy()
    numbers = pl.int_range(len(prices), eager=True, dtype=pl.Int32)
    call, liquidation = scenario["lines"].tolist()
    value = float(scenario["haircut_ratio"]) * (pl.col("wallet") + pl.col("pnl"))
    band = (value < call * pl.col("required")).cast(pl.Int8) + (
        value < liquidation * pl.col("required")
    ).cast(pl.Int8)

    def below(price: float) -> timed_peer.Below:
        prices[0] = price
        quoted = pl.DataFrame({"symbol": numbers, "price": prices})
        found = (
            positions.lazy()
            .join(quoted.lazy(), on="symbol")
            .group_by("account")
            .agg(
                pl.col("wallet").first(),
                pnl=(pl.col("quantity") * pl.col("price") - pl.col("entry_value")).sum(),
                required=float(scenario["maintenance_rate"]) * (pl.col("size") * pl.col("price")).sum(),
            )
            .select("account", band=band)
            .filter(pl.col("band") > 0)
            .collect()
        )
        return found["account"].to_numpy(), found["band"].to_numpy()

    return below


if __name__ == "__main__":
    timed_peer.run(load)
