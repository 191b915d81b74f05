"""Portfolio margin: an account judged on its net risk, by scenarios that are policy data.

exposure.py        what is seen of a holding; its delta and value
shocks.py          how volatility, skew and value move, by term
scenarios.py       simulated P&L of a unit in every scenario
contingencies.py   basis, vega, futures, short options, liquidity, minimum charge
oracles.py         haircuts, oracle confidence, stablecoin peg
unit.py            one underlying
correlation.py     credits between underlyings
margin.py          the account, and its lines
"""

from engine.margin.portfolio.exposure import Exposure
from engine.margin.portfolio.margin import PortfolioMargin, portfolio_margin

__all__ = ["Exposure", "PortfolioMargin", "portfolio_margin"]
