"""A second, deliberately plain implementation of cross margin, in fractions.

It is written from the formulas (README of the engine, docstrings of `engine.policy`), shares no code with `engine.margin`
and prefers the obvious over the fast: a tiered amount is an integral over its tiers, not a rate with a deduction.

    plain.py         engine values -> plain namespaces of `Fraction`
    rounding.py      the two roundings that the engine states, and nothing else rounds
    positions.py     margin of one position, hedge legs
    assets.py        what an amount of an asset is worth, and requires
    orders.py        the worse side of open orders
    pool.py          the figures of the pool
    draws.py         random numbers that like edges
    draw_policy.py   a random policy over all switches of cross margin
    draw_account.py  random prices and accounts under a policy

Roundings, each half-even at 18 places: the value of an inverse contract, the average entry price, N / leverage,
rate * N / leverage, an entry value released or netted, funding accrued, the scales of crowded assets and markets, and
every shown ratio. Steps: N, IM and MM where the rules name a step, and the rate scaled by open interest.
"""
