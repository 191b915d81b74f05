"""The compiled part of the book: how far prices may move before anybody could have something to say.

An instant, step by step
------------------------
1. `walk` sets all prices of the instant. Where that makes a symbol known, fresh or stale, all its holders are examined.
2. Otherwise compare each price with the bounds of each block of the symbol's holders; a quiet block ends here.
3. In the other blocks compare it with each holder's own bounds; whoever is inside ends here. Who is inside for every symbol of the
   instant has nothing to say, and who was examined for one has bounds that hold for the others.
4. `stretch` moves the bound that a price has left, if the reserve of the account's budget pays for it.
5. Otherwise `examine` sums the account's figures anew (`room`), and asks what each price's moves take of what is left until
   anything could change (`spend`). Something left: a new budget, new bounds, silence.
6. Otherwise the account is a candidate, once. After the instant's last holder the walk returns, the exact judge decides at
   exactly these prices, and the walk goes on with the next instant.

An account that these sums cannot express has bounds from elsewhere (`enclose`, `engine.book.boxes`) and no budget: step 5 always
fails.

Comparisons are sound in single precision: bounds are widened inwards and prices outwards by more than it rounds.

Why the bounds hold
-------------------
What a row needs to stay silent is that some figures stay above zero: C - line * MM, line * MM - C, E, - E. `room` is how far
they are from it at the present prices p. Let every price lie in a box, bounds around p. The least value of each such figure
over the box comes from the corners, because each part of it is monotone in each price:

* a position's value is monotone in its mark; its maintenance margin rises with its notional
  (rates are positive and do not fall, deductions make the tiers meet), and borrow margin with the coins owed;
* equity * index and value(E, index) rise with E for any index > 0, and are linear in the index.

So that least value is a function of the bounds, and it falls by no more than slope * distance when one bound moves out. While
no price is further than `reach` from p, these slopes are at most:

* position, the bound on its losing side: |quantity| * greatest index * (max(1, liability factor) + line * dearest borrow rate);
  MM: |quantity| * greatest index * line * rate of the tier that holds the greatest notional, at the bound where it counts;
* index: greatest |E_a| * max(1, liability factor), plus line * greatest requirement in the asset, at the bounds where they count.

Slope / room is the part of the row's room that the move takes (`spend`); an account with several rows counts them all. Bounds
that were moved one by one have taken no more than the sum of their parts, so as long as that sum is at most 1, the *budget*,
nothing can be said inside. `examine` shares out a part of it to all bounds alike, in proportion to the price; the rest is the
reserve, and whoever takes from it says so there. No bound goes beyond `reach`: the whole budget carries none so far (`falls`,
`rises`). The price p itself is not kept; it is no less than the floor, so moves are counted relative to that.

Rounding
--------
Let u = 2^-53. Each number read (amount, entry value, price, rate, floor) is off by at most u relative, each operation
adds at most u, and a row's sums have at most `TERMS_MAX` terms with fewer than 32 operations on the way through
each. A figure is therefore within about (TERMS_MAX + 32) * u of the sum W of the magnitudes of its parts,
W = sum of (|wallet| + |position value| + |entry value|) * index * liability factor; rates and ratios are at most 1, and
picking the neighbour of the right tier at an edge costs no more, because tiers meet there.
`EPSILON` = 2^-40 = 8192 u leaves a factor of more than three. C - line * MM is trusted when it is further from zero than
EPSILON * (1 + 4 * line) * W: maintenance margin is rate * notional - deduction, two parts of at most W each, and the
same again for what owing requires. What is left of it is the room, so the budget is of the true figures.

Parts of a budget are off by 2^12 u of W at most, times a reach that is at most 16 room / W: 2^-37 of the budget. A budget is
short by `CARE`, 2^-20, from the start, and each taking from it by the rounding of single precision.
Nothing drifts: sums are always computed anew, never carried forward; a reserve only becomes less.

A position without any mark is valued at its average entry price, rounded to 18 places, so off its entry value by
less than |quantity * multiplier| * 10^-18.

    walking     the tick: whose bounds are left                    bounds      giving, ending and reviewing bounds
    spans       figures of a row, and its room                     row_flags   what a row is, how an account stands
    budgets     what moves take of it
    summing     counts and sums over all accounts                  falling     the heat map
    at_stake    what they hold together, for the breaker           heading     who is heard first
    missing     what is missing to a line, where that is all       stressing   the stress of a whole book
                that a timer asks                                  seating     accounts into the roster's tables
                                                                   compiling   compiled once, cached under a key of all of these
"""

from engine.book.kernels.at_stake import holdings
from engine.book.kernels.bounds import (
    BLOCK,
    disclose,
    dismiss,
    enclose,
    enlist,
    examine,
    review,
    settle,
    sweep,
)
from engine.book.kernels.compiling import compiled
from engine.book.kernels.falling import heat
from engine.book.kernels.heading import worst_bands
from engine.book.kernels.missing import missing
from engine.book.kernels.row_flags import (
    CERTAIN,
    DEGRADED,
    EMPTY_IS_QUIET,
    HOVERING,
    ISOLATED,
    NEGATIVE,
    NEVER,
    NOT_ABOVE,
    NOT_BELOW,
    OPEN,
    POSITIVE,
    QUIET,
    SECURES,
    STOPPED,
    UNJUDGED,
)
from engine.book.kernels.seating import seat
from engine.book.kernels.spans import EPSILON, TERMS_MAX, span
from engine.book.kernels.stressing import stress
from engine.book.kernels.summing import Sums, equity_of, total
from engine.book.kernels.walking import Walked, walk

__all__ = [
    "BLOCK",
    "CERTAIN",
    "DEGRADED",
    "EMPTY_IS_QUIET",
    "EPSILON",
    "HOVERING",
    "ISOLATED",
    "NEGATIVE",
    "NEVER",
    "NOT_ABOVE",
    "NOT_BELOW",
    "OPEN",
    "POSITIVE",
    "QUIET",
    "SECURES",
    "STOPPED",
    "TERMS_MAX",
    "UNJUDGED",
    "Sums",
    "Walked",
    "compiled",
    "disclose",
    "dismiss",
    "enclose",
    "enlist",
    "equity_of",
    "examine",
    "heat",
    "holdings",
    "missing",
    "review",
    "seat",
    "settle",
    "span",
    "stress",
    "sweep",
    "total",
    "walk",
    "worst_bands",
]
