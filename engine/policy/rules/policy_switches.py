"""The switches by which venues differ outside of portfolio margin: one enum for each, each value with what it does.

A switch is compared by its member, never by its text. Where a judgement asks for one again and again, the member stands in a
constant of the module: reading it off its enum takes longer than the comparison.
"""

from enum import StrEnum


class InstrumentKind(StrEnum):
    """What is listed."""

    SPOT = "spot"
    """A pair: a trade swaps two balances, and nothing is held but them."""
    PERPETUAL = "perpetual"
    """A contract without expiry; funding ties it to its underlying."""
    FUTURE = "future"
    """A contract that is delivered at its expiry."""
    OPTION = "option"
    """A call or a put; its premium is paid in cash."""


CONTRACTS = frozenset({InstrumentKind.PERPETUAL, InstrumentKind.FUTURE})
"""What has a mark of its own and is held at an entry price."""


class Payoff(StrEnum):
    """In what a contract pays."""

    LINEAR = "linear"
    """P&L = size * price change."""
    INVERSE = "inverse"
    """Settled in coin: a contract is worth a fixed sum of quote."""


class InitialRule(StrEnum):
    """IM of a position of notional N."""

    LEVERAGE_OR_TIER = "leverage_or_tier"
    """max(N / leverage, rate * N)."""
    LEVERAGE = "leverage"
    """N / leverage."""
    TIER = "tier"
    """rate * N."""
    TIER_OVER_LEVERAGE = "tier_over_leverage"
    """rate * N / leverage."""
    SIZE = "size"
    """(base rate + slope * size) * N."""


class MaintenanceRule(StrEnum):
    """MM of a position of notional N."""

    TIER = "tier"
    """rate * N - deduction."""
    TIER_OVER_LEVERAGE = "tier_over_leverage"
    """rate * N / leverage."""
    FRACTION_OF_INITIAL = "fraction_of_initial"
    """fraction * initial rate * N, whatever leverage the account chose."""
    SIZE = "size"
    """(base rate + slope * size) * N."""


class Tiering(StrEnum):
    """For what a tier's rate holds."""

    MARGINAL = "marginal"
    """For the notional within the tier: MM is continuous."""
    FLAT = "flat"
    """For all of the notional."""


class NotionalBasis(StrEnum):
    """What the notional N is that tier and margin are computed from."""

    MARK = "mark"
    """|value at the mark|."""
    ENTRY = "entry"
    """|value at the entry prices|."""


class ClosingFee(StrEnum):
    """Fee to close counted in the margin."""

    NONE = "none"
    NOTIONAL = "notional"
    """Taker rate * N."""
    BANKRUPTCY = "bankruptcy"
    """Taker rate * value at the price that consumes the initial margin."""


class HedgeLegs(StrEnum):
    """Long and short leg of one symbol."""

    GROSS = "gross"
    """Each is margined."""
    NET = "net"
    """The difference of their quantities is."""
    LARGER = "larger"
    """The leg with the larger requirement is."""


class Rounding(StrEnum):
    """Where a figure between two steps goes."""

    EXACT = "exact"
    """Nowhere: it is not rounded."""
    UP = "up"
    """Away from zero."""
    DOWN = "down"
    """Towards zero."""
    HALF_EVEN = "half_even"
    """To the nearest step, halfway to the even one."""


class MarginModel(StrEnum):
    """By what the shared pool of an account is judged."""

    CROSS = "cross"
    """The requirements of its positions added up, against collateral after haircut."""
    PORTFOLIO = "portfolio"
    """The net risk of each underlying, by scenarios."""
    HEALTH = "health"
    """Weighted balances and positions; no account can choose it, only be under a policy that has it."""


class HaircutOn(StrEnum):
    """What the collateral ratio of an asset applies to."""

    EQUITY = "equity"
    """Balance + unrealised P&L."""
    WALLET = "wallet"
    """The balance alone."""


class RequirementRate(StrEnum):
    """At what a requirement converts into account currency."""

    INDEX = "index"
    """The index price of its settle asset."""
    LIABILITY = "liability"
    """That price times the asset's liability factor."""


class LiabilitiesAs(StrEnum):
    """Where a negative asset counts."""

    COLLATERAL = "collateral"
    """It lowers the collateral value."""
    REQUIREMENT = "requirement"
    """It is required. Where the haircut is on the wallet, that is the balance alone: a loss always lowers the collateral
    value."""


class SpotOrders(StrEnum):
    """What an order in a spot pair takes."""

    RESERVED = "reserved"
    """It requires what its fill would take away."""
    FILLED = "filled"
    """The pool counts as if the worse side of the pair had filled at the price of the base asset, in IM and MM alike."""


class OptionValue(StrEnum):
    """Where the value of options counts outside of portfolio margin, under which it always is collateral."""

    REQUIREMENT = "requirement"
    """It stays out of the collateral value, and short ones require it."""
    COLLATERAL = "collateral"
    """In the collateral value."""


class RatioDirection(StrEnum):
    """Which way up a margin ratio is shown."""

    COLLATERAL_OVER_MAINTENANCE = "collateral_over_maintenance"
    """Above 1 is healthy."""
    MAINTENANCE_OVER_COLLATERAL = "maintenance_over_collateral"
    """Below 1 is healthy."""


class TiersBy(StrEnum):
    """What the tier floors and the cap of a collateral asset count."""

    AMOUNT = "amount"
    """Coins."""
    VALUE = "value"
    """Their value in account currency."""


class ExpiredCall(StrEnum):
    """What a margin call that is not met by its deadline leads to."""

    NOTIFY = "notify"
    """An event says so, and nothing else changes."""
    REDUCE_ONLY = "reduce_only"
    """The band of that name."""
    LIQUIDATION = "liquidation"
    """The band of that name."""


class InstantOf(StrEnum):
    """Which marks hold together: their prices are set before anybody is judged."""

    RECORD = "record"
    """Those of one price record."""
    TIME = "time"
    """Those of all records of one event time, across partitions."""


class DivergentPrice(StrEnum):
    """The price in force while an index and its second source diverge."""

    LOWER = "lower"
    """The lower of the two: the safer one for collateral."""
    HIGHER = "higher"
    """The higher of the two: the safer one for what is owed."""
    REFERENCE = "reference"
    """The second source's."""
    MARK = "mark"
    """The index as quoted."""


class Deleveraging(StrEnum):
    """How what a takeover leaves unpaid is spread over the winners of the other side."""

    QUEUE = "queue"
    """One after the other, by `AdlRanking`."""
    PRO_RATA_PROFIT = "pro_rata_profit"
    """In proportion to the profit of their positions."""
    PRO_RATA_EQUITY = "pro_rata_equity"
    """In proportion to the equity behind their positions, the profit included."""
    PER_CONTRACT = "per_contract"
    """In proportion to the contracts that they hold: the same share of every position."""


class DeleveragedSize(StrEnum):
    """How much of the other side is closed."""

    POSITION = "position"
    """As many contracts as are taken over, whatever the fund could still bear: the queue as venues run it."""
    DEFICIT = "deficit"
    """Only as many as give what the fund cannot pay."""


class AdlRanking(StrEnum):
    """What decides which winner of a queue is closed first: the largest score is."""

    LEVERAGE_WEIGHTED = "leverage_weighted"
    """uPnL * notional / equity."""
    PNL_RATIO = "pnl_ratio"
    """uPnL / equity."""
    POSITION_SIZE = "position_size"
    """|quantity|."""


class IdScope(StrEnum):
    """Within what the exchange gives an id to one input only. Ids of trades, order updates, settlements and ledger entries never meet."""

    ACCOUNT = "account"
    """The account."""
    ACCOUNT_AND_SYMBOL = "account+symbol"
    """Each symbol of the account: trades are counted per symbol. Of inputs that name no symbol it is the account."""
