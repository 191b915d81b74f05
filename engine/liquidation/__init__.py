"""What a liquidation needs to decide: who is first, how much is closed, at what price, and who bears what is left.

Pure functions over figures that `engine.margin` has computed; amounts are in account currency unless said otherwise.

    lines.py         whether a line is reached, the way out of liquidation, asset-to-liability rate
    levels.py        margin calls by levels of posted collateral, by margin remaining
    priority.py      accounts worst first, legs worst first
    sizing.py        how much to close, or to sell
    bankruptcy.py    the value at which closing leaves the rest of the account as it was
    adl.py           insurance fund, then the winners in rank order
"""
