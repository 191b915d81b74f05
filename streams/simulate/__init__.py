"""A simulated exchange: agents trade, prices answer, liquidations are executed, and not a cent is made or lost.

What it is made of, from the rules downwards:

    simulation.py    one step of the market: prices, agents, liquidations, funding, the check of conservation
    agents.py        who trades what, and who pays after a margin call
    liquidations.py  intents: taken once, only the newest of a pool, only when nothing of the account has moved since
    desk.py          every input is numbered, booked and kept here until it is sent; ids name the other side and the liquidation
    fund.py          the insurance fund: what it takes over, how it sells, whom it deleverages when it is empty
    prices.py        order book of one coin: impact and decay; index and mark
    scenarios.py     the named courses of a market, as data; path.py lays one out or reads a recorded one
    books.py         every account and the exchange's own, booked by the engine's ledger; conservation.py, that they balance
    offline.py       the engine in the same process; live.py the engine behind Kafka; restart.py from the topics
    tally.py         what happened, counted; report.py tells it, exporter.py exports it

Everything but live.py, restart.py and exporter.py is pure: the same seed, scenario and intents give the same messages.
"""
