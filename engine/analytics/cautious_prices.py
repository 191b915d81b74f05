"""What a doubted index may be, taken as it is worse for an account: nothing is opened or withdrawn on a doubted price."""

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy

_replace = msgspec.structs.replace


def cautious(state: AccountState, prices: Prices, policy: Policy) -> Prices:
    """The prices with every doubted index of an asset at the end of its plausible range that leaves the shared pool less above IM.

    Of what is held that is the low end, of what is owed the high end; what is not realised yet counts as well.
    """
    for rules in policy.assets.values():
        doubt, mark = prices.doubt(rules.index), prices.marks.get(rules.index)
        if doubt is None or mark is None:
            continue
        with exact():
            # index * (1 -+ haircut)
            ends = [mark.price * max(ZERO, 1 + way * doubt.haircut) for way in (-1, 1)]
            moved = [
                _replace(prices, marks={**prices.marks, rules.index: _replace(mark, price=end)})
                for end in ends
            ]
            prices = min(moved, key=lambda at: shared_figures(state, at, policy).free)
    return prices
