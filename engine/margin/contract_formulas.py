"""One perpetual or delivery future, in its settle asset, in whatever number the mark is given in (`arithmetic`).

    value     = quantity * multiplier * mark              inverse: quantity * multiplier / mark
    uPnL      = value - entry value                       inverse: entry value - value
    N         = |value|, or |entry value| where the rules say entry; where prices may be 0 and below at least
                |quantity| * multiplier * least scale (`Instrument.scale`)
    MM        = by `MarginRules.maintenance`   tier rate * N - tier deduction, by default (continuous at the edges)
                + closing fee, rounded, where the rules say so
    counted   = uPnL, a profit at min(profit weight, realisable share), the share where the rules say so

The tier is picked by the N of the same tick. `position_margin` asks for these in `Decimal` and adds the initial margin;
`engine.book.boxes.position_swings` asks for them in bounds. `position_margin.margin_by` has the same for the commonest
terms, written out for speed; `engine.book.kernels` has `ContractTerms.lines` in floats. Tests hold both to these.
"""

from decimal import Decimal

from engine.margin.arithmetic import Arithmetic, N
from engine.numbers import ONE
from engine.policy import SizeRates
from engine.policy.rules.contract_terms import ContractTerms
from engine.policy.rules.policy_switches import ClosingFee, InitialRule, MaintenanceRule, NotionalBasis

_NO_FEE, _FEE_OF_NOTIONAL = ClosingFee.NONE, ClosingFee.NOTIONAL
_OF_ENTRY = NotionalBasis.ENTRY
_INITIAL_BY_SIZE = InitialRule.SIZE
_MAINTENANCE_BY_SIZE = MaintenanceRule.SIZE
_FRACTION_OF_INITIAL = MaintenanceRule.FRACTION_OF_INITIAL


def value_of(terms: ContractTerms, quantity: Decimal, mark: N, numbers: Arithmetic[N]) -> N:
    """Signed value of `quantity` contracts (an option's price is in settle asset already)."""
    size = quantity * terms.instrument.multiplier
    # linear: quantity * multiplier * mark;  inverse: quantity * multiplier / mark
    return numbers.divide(numbers.fixed(size), mark) if terms.inverse else mark * size


def valued(
    terms: ContractTerms,
    quantity: Decimal,
    entry_value: Decimal,
    mark: N,
    numbers: Arithmetic[N],
    realisable: N | None = None,
) -> tuple[N, N, N]:
    """Notional, uPnL, and what of it counts as collateral, of `quantity` contracts entered at `entry_value`.

    `realisable`: share of the market's profits that its losing side can pay (0..1), where anybody stated one.
    """
    rules = terms.rules
    value, entry = value_of(terms, quantity, mark, numbers), numbers.fixed(entry_value)
    # N = |value| or |entry value|, truncated
    notional = numbers.magnitude(entry if rules.notional is _OF_ENTRY else value)
    if least := terms.instrument.price_scale_min:
        # at least |quantity| * multiplier * least scale
        notional = numbers.larger(
            notional, numbers.fixed(abs(quantity) * terms.instrument.multiplier * least)
        )
    if rules.notional_step:
        notional = numbers.stepped(notional, rules.notional_step, "down")
    # linear: uPnL = value - entry value;  inverse: entry value - value
    profit = counted = entry - value if terms.inverse else value - entry
    if rules.realisable_profit and realisable is not None:
        weight = numbers.smaller(numbers.fixed(rules.profit_weight), realisable)
        counted = numbers.weighted(profit, weight)
    elif rules.profit_weight != ONE:
        counted = numbers.weighted(profit, numbers.fixed(rules.profit_weight))
    return notional, profit, counted


def required(
    terms: ContractTerms,
    quantity: Decimal,
    notional: N,
    by_tier: N,
    leverage: Decimal,
    numbers: Arithmetic[N],
) -> tuple[N, N]:
    """Maintenance margin, and the closing fee in it; `by_tier` is what `terms.lines` make of the notional."""
    margin, fee = _maintenance(terms, quantity, notional, by_tier, leverage, numbers), numbers.NOTHING
    if terms.rules.closing_fee is not _NO_FEE:
        fee = _closing_fee(terms, quantity, notional, leverage, numbers)
        margin = margin + fee
    if terms.rules.margin_step:
        margin = stepped(terms, margin, numbers)
    return margin, fee


def stepped(terms: ContractTerms, margin: N, numbers: Arithmetic[N]) -> N:
    """A margin, rounded where the rules say so."""
    rules = terms.rules
    return numbers.stepped(margin, rules.margin_step, rules.margin_rounding) if rules.margin_step else margin


def size_rate(
    base_rate: Decimal,
    rates: SizeRates,
    terms: ContractTerms,
    quantity: Decimal,
    notional: N,
    numbers: Arithmetic[N],
) -> N:
    """Rate that grows with the size of the position and holds for the whole of it."""
    units = notional if terms.inverse else numbers.fixed(abs(quantity) * terms.instrument.multiplier)
    # rate = base rate + slope * units
    return numbers.fixed(base_rate) + units * rates.slope_per_unit


def _maintenance(
    terms: ContractTerms,
    quantity: Decimal,
    notional: N,
    by_tier: N,
    leverage: Decimal,
    numbers: Arithmetic[N],
) -> N:
    rules, rates = terms.rules, terms.instrument.size_rates
    if rates is not None and rules.maintenance is _MAINTENANCE_BY_SIZE:
        # MM = (base rate + slope * units) * N
        base = rates.maintenance_base_rate
        return notional * size_rate(base, rates, terms, quantity, notional, numbers)
    if rates is not None and rules.maintenance is _FRACTION_OF_INITIAL and rules.initial is _INITIAL_BY_SIZE:
        base = rates.initial_base_rate
        by_tier = notional * size_rate(base, rates, terms, quantity, notional, numbers)
    match rules.maintenance:
        case MaintenanceRule.TIER:
            # MM = maintenance rate * N - deduction, at least 0        (a flat tier has no deduction)
            return numbers.above_zero(by_tier)
        case MaintenanceRule.TIER_OVER_LEVERAGE:
            # MM = maintenance rate * N / leverage
            return numbers.divide(by_tier, leverage)
        case MaintenanceRule.FRACTION_OF_INITIAL:
            # MM = fraction * initial rate * N, whatever leverage the account chose
            return stepped(terms, by_tier, numbers) * rules.maintenance_fraction
        case MaintenanceRule.SIZE:
            return by_tier


def _closing_fee(
    terms: ContractTerms, quantity: Decimal, notional: N, leverage: Decimal, numbers: Arithmetic[N]
) -> N:
    rules = terms.rules
    if rules.closing_fee is _FEE_OF_NOTIONAL:
        # fee = taker rate * N
        return notional * rules.taker_fee_rate
    # fee = taker rate * value where N / leverage is consumed: N * (1 - 1 / leverage), + for a linear short or inverse long
    consumed = numbers.divide(notional, leverage)
    falling = (quantity > 0) != terms.inverse
    return (notional - consumed if falling else notional + consumed) * rules.taker_fee_rate
