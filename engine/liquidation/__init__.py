"""What a liquidation needs to decide: who is first, how much is closed, at what price, and who bears what is left.

Pure functions over figures that `engine.margin` has computed; amounts are in account currency unless said otherwise.

The plan of a liquidation:

    plan.py          what a plan says: the intent that the exchange executes
    planner.py       from a pool to its plan: cancel, net, reduce or take over
    search.py        which moves, and how many lots of each: the least that reaches the exit line
    slices.py        the same share of every position
    moves.py         one reduction or repayment by any number of lots
    standing.py      where a pool stands after a move, asked of the margin model
    cross_probe.py   the same from sums, for plain cross pools
    trades.py        the account after a move
    limits.py        limit prices, prices of a takeover
    lots.py          quantities on the lot grid, the search for the least of them

Around it:

    priority.py      accounts worst first (`unimargin liquidations`), legs worst first
    adl.py           who bears a deficit: the insurance fund, then the winners in rank order
    holders.py       an account's positions as candidates for that (`unimargin adl`)

Rules of other systems, by themselves:

    lines.py         whether a line is reached, the way out of liquidation, asset-to-liability rate
    levels.py        margin calls by levels of posted collateral, by margin remaining
    sizing.py        how much to close, or to sell
    bankruptcy.py    the value at which closing leaves the rest of the account as it was
"""
