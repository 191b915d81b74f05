"""numpy: every position summed anew at every tick. Own interpreter; packages: numpy."""

from collections.abc import Callable

import numpy as np
import timed_peer


def load(scenario: timed_peer.Scenario) -> Callable[[float], timed_peer.Below]:
    """Positions stand by account, so a sum by account is one `add.reduceat`; what does not depend on prices is summed once."""
    symbols, quantities = scenario["symbols"], scenario["quantities"]
    sizes, prices = np.abs(quantities), scenario["prices"].copy()
    starts = np.flatnonzero(np.diff(scenario["accounts"], prepend=-1))
    settled = scenario["wallets"] - np.add.reduceat(quantities * scenario["entry_prices"], starts)
    haircut, rate, lines = (
        float(scenario["haircut_ratio"]),
        float(scenario["maintenance_rate"]),
        scenario["lines"],
    )

    def below(price: float) -> timed_peer.Below:
        prices[0] = price
        at = prices[symbols]
        value = haircut * (settled + np.add.reduceat(quantities * at, starts))
        required = rate * np.add.reduceat(sizes * at, starts)
        bands = np.zeros(len(value), np.int8)
        for line in lines:
            bands += value < line * required
        accounts = np.flatnonzero(bands)
        return accounts, bands[accounts]

    return below


if __name__ == "__main__":
    timed_peer.run(load)
