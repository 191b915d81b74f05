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
    linear_closing.py   contracts of one position in them, while a tier holds
    portfolio_probe.py   the same under portfolio margin, from the parts that a step leaves alone
    trades.py        the account after a move
    limits.py        limit prices, prices of a takeover
    lots.py          quantities on the lot grid, the search for the least of them

Around it:

    priority.py      accounts worst first (`unimargin liquidations`)
    deficit_cover.py who bears a deficit: the insurance fund, then the winners of the other side
    fund_groups.py   the insurance fund as the exchange states it, by group of contracts
    plan_cover.py    the same of a plan: who would bear what a takeover leaves unpaid (`unimargin liquidations`)
    adl_risk.py      how near the winners of a contract are to being asked (`none`, `soon`, `active`)
    deleveraging.py  which of them gives up how much, at what price (policies of deleveraging)
    adl.py           winners in rank order
    adl_holders.py   an account's positions as candidates for that (`unimargin adl`)
    hedged_accounts.py  whether an account is hedged in an underlying
    adl_score.py     what a deleveraging took beyond what was needed, and from whom
"""
