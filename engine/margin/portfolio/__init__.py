"""Portfolio margin: an account judged on its net risk, by scenarios that are policy data.

exposure.py        what is seen of a holding; its delta and value
shocks.py          how volatility, skew and value move, by term
scenarios.py       simulated P&L of a unit in every scenario
contingencies.py   basis, vega, futures, short options, liquidity, minimum charge
oracles.py         haircuts, oracle confidence, stablecoin peg
risk_unit.py       one underlying
correlation.py     credits between underlyings
portfolio_margin.py  the account, and its lines
pool_exposures.py  from an account's shared pool to exposures
portfolio_pool.py  the shared pool judged on its net risk
pool_change.py     the same after one position or some coins have changed
"""

from engine.margin.portfolio.exposure import Exposure
from engine.margin.portfolio.portfolio_margin import PortfolioMargin, portfolio_margin

__all__ = ["Exposure", "PortfolioMargin", "portfolio_margin"]
