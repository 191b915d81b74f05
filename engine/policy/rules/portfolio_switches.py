"""The switches of portfolio margin and of option margin: one enum for each, each value with what it does.

A switch is compared by its member, never by its text.
"""

from enum import StrEnum


class Direction(StrEnum):
    """Where volatility moves in a scenario."""

    UP = "up"
    NONE = "none"
    """It stays."""
    DOWN = "down"


class ScenarioGroup(StrEnum):
    """Under which name the loss of a scenario is reported; correlation credits pair the grids of two units."""

    GRID = "grid"
    TAIL = "tail"
    SKEW = "skew"
    DECAY = "decay"


class SkewMove(StrEnum):
    """How the wings of the volatility surface move in a scenario."""

    NONE = "none"
    LINEAR = "linear"
    """Up on one side, down on the other."""
    ABSOLUTE = "absolute"
    """The same way on both sides."""


class VolatilityMode(StrEnum):
    """What a shock of volatility is."""

    RELATIVE = "relative"
    """A share of the volatility."""
    ABSOLUTE = "absolute"
    """Added to it."""


class Compounding(StrEnum):
    """How a yearly move of the basis grows with the term."""

    EXPONENTIAL = "exponential"
    """e^(annualised move * years) - 1."""
    LINEAR = "linear"
    """annualised move * years."""


class BasisNetting(StrEnum):
    """Which deltas the basis risk charges."""

    EACH = "each"
    """|net delta| of every group."""
    HEDGED = "hedged"
    """The deltas of two groups that offset each other."""


class ReferencePrice(StrEnum):
    """The price that a move or a charge of futures is a fraction of."""

    INDEX = "index"
    """Of the underlying."""
    MARK = "mark"
    """Each instrument's own."""


class ShortNetting(StrEnum):
    """Which short options are charged."""

    STRIKE = "strike"
    """Shorts less longs of the same strike and expiry, calls and puts alike."""
    NONE = "none"
    """All shorts."""


class CountedOptions(StrEnum):
    """Which options a charge for doubtful prices counts."""

    GROSS = "gross"
    """All of them."""
    SHORT = "short"
    """The short ones."""


class PutFloorOn(StrEnum):
    """What the least IM of a short put is a share of."""

    UNDERLYING = "underlying"
    """The index."""
    STRIKE = "strike"


class OptionSides(StrEnum):
    """Short calls and short puts of one expiry."""

    SUM = "sum"
    """Both are margined."""
    LARGER = "larger"
    """The larger margin, with the value of the other side."""


class OptionSpreads(StrEnum):
    """Whether options of one expiry cover each other."""

    ISOLATED = "isolated"
    """No: each is margined."""
    MAX_LOSS = "max_loss"
    """The largest loss at expiry counts where that is smaller than the sum of the margins."""


class InverseConversion(StrEnum):
    """At what a coin-settled profit is converted in a scenario."""

    MOVED = "moved"
    """The moved price of the coin: then it is linear."""
    CURRENT = "current"
    """The price of the coin now."""


class UnitTotal(StrEnum):
    """How the minimum charge of a unit counts."""

    LARGER = "larger"
    """Worst loss + contingencies or the minimum charge, whichever is larger."""
    SUM = "sum"
    """All of them added up."""


class PegOn(StrEnum):
    """What a stablecoin below its peg makes dearer."""

    LOSS_FACTOR = "loss_factor"
    """rate * gap is added to the loss factor."""
    SHORTS = "shorts"
    """rate * gap is charged on index * (futures, long and short + short options)."""
