"""The mark book: which prices are believed.

Rules, in the order in which they are checked
---------------------------------------------
1. `unknown_symbol`    nothing in the policy is priced by this symbol
2. `not_finite`, `not_positive`
3. `old_sequence`      not newer than the last accepted mark of the symbol
4. `future_dated`      dated further ahead of its receipt than the tolerance
5. `jump_unconfirmed`  further than `jump_fraction` from the last accepted price, and fewer than
                       `jump_confirmations` marks in a row lay within `jump_fraction` of the first such mark

A refused mark changes no price. Time comes in with each mark; the book reads no clock.

Most marks carry a price alone, close to the last one: `_surely_near` passes these by float bounds that lie inside the exact
ones by more than floats round. Every other mark takes the exact checks, one by one.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Mark
from engine.numbers import ZERO, amount_fault, exact
from engine.policy import Policy, PriceCheck
from engine.rejections import Rejection, RejectionCode

NANOSECONDS = 1_000_000_000
_FLOAT_MARGIN = 2.0**-40
"""Bounds in floats are drawn in by this part of the last price: thousands of times what computing them rounds."""
_INTEGER_PART_SURE = 1e23
"""Prices below have no more than `numbers.INTEGER_DIGITS_MAX` digits before the point, however a float rounds."""


class _Jump(msgspec.Struct, frozen=True):
    """A far price waiting to be believed."""

    first_price: Decimal
    seen: int
    sequence: int
    """Of the newest mark counted: the same mark delivered again confirms nothing."""


class _Rule:
    """What marks of one symbol are checked against, in integers and floats."""

    __slots__ = ("ahead_ns", "check", "high", "low", "stale_after_ns")

    def __init__(self, check: PriceCheck) -> None:
        self.check = check
        self.stale_after_ns = int(check.stale_after_seconds * NANOSECONDS)
        self.ahead_ns = int(check.future_tolerance_seconds * NANOSECONDS)
        fraction = float(check.jump_fraction)
        # times the last price: surely no jump between these
        self.low = max(0.0, 1 - fraction + _FLOAT_MARGIN)
        self.high = (1 + fraction) * (1 - _FLOAT_MARGIN)


class AssetTotals(msgspec.Struct, frozen=True):
    """Coins of one asset deposited with and borrowed from the exchange by all accounts together."""

    deposits: Decimal
    borrows: Decimal = ZERO
    potential_deposits: Decimal = ZERO
    """Coins that open spot orders may turn into deposits."""


class Prices(msgspec.Struct, frozen=True):
    """What the margin formulas see: the last believed mark of every symbol, and which of them are stale."""

    marks: Mapping[str, Mark]
    stale: frozenset[str]
    """Price symbols without a fresh mark; those never seen are in here and absent from `marks`."""
    time_ns: int = 0
    """Event time, for what accrues or expires."""
    open_interest: Mapping[str, Decimal] = {}
    """By symbol: contracts open on the whole market, for policies that scale with it."""
    totals: Mapping[str, AssetTotals] = {}
    """By asset: what the whole exchange holds and owes, for policies that scale with it."""


class MarkBook:
    """Accepts or refuses marks and knows which symbols are stale. One per worker."""

    def __init__(self, policy: Policy) -> None:
        """Start empty: every price symbol of `policy` is stale until its first mark."""
        self._rules = {symbol: _Rule(check) for symbol, check in policy.price_symbols.items()}
        self._marks: dict[str, Mark] = {}
        self._floats: dict[str, float] = {}
        """Prices of `_marks`."""
        self._jumps: dict[str, _Jump] = {}
        self._stale: frozenset[str] = frozenset(self._rules)
        self.time_ns = 0
        """The newest event time the book knows of, from accepted marks and `advance`."""

    def accept(self, mark: Mark, received_ns: int) -> Mark | Rejection:
        """Believe `mark`, received at `received_ns` (Unix ns), or say why not."""
        believed, refused = self.accept_all((mark,), received_ns)
        return believed[0] if believed else refused[0]

    def accept_all(self, marks: Iterable[Mark], received_ns: int) -> tuple[list[Mark], list[Rejection]]:
        """Offer marks in order: those believed, in order, and why each of the others was refused."""
        believed: list[Mark] = []
        refused: list[Rejection] = []
        rules, lasts, floats = self._rules, self._marks, self._floats
        for mark in marks:
            symbol = mark.symbol
            rule, last = rules.get(symbol), lasts.get(symbol)
            price = 0.0
            if rule is not None and last is not None:
                price = _surely_near(mark, last, floats[symbol], received_ns, rule)
            if not price:
                refusal = self._refusal(mark, last, received_ns, rule)
                if refusal is not None:
                    refused.append(refusal)
                    continue
                price = float(mark.price)
            elif self._jumps:
                self._jumps.pop(symbol, None)
            lasts[symbol], floats[symbol] = mark, price
            self._pass_time(mark)
            believed.append(mark)
        return believed, refused

    def advance(self, now_ns: int) -> frozenset[str]:
        """Move event time forward and return the price symbols that are stale now."""
        self.time_ns = max(self.time_ns, now_ns)
        self._stale = frozenset(
            symbol
            for symbol, rule in self._rules.items()
            if symbol not in self._marks or self.time_ns - self._marks[symbol].time_ns > rule.stale_after_ns
        )
        return self._stale

    def prime(self, mark: Mark) -> None:
        """Take a mark that was accepted before a restart; an older one than the book's changes nothing."""
        last = self._marks.get(mark.symbol)
        if mark.symbol in self._rules and (last is None or mark.sequence > last.sequence):
            self._marks[mark.symbol], self._floats[mark.symbol] = mark, float(mark.price)

    @property
    def prices(self) -> Prices:
        """The current view; `marks` is live, so read it before the next `accept`."""
        return Prices(marks=self._marks, stale=self._stale, time_ns=self.time_ns)

    def _refusal(
        self, mark: Mark, last: Mark | None, received_ns: int, rule: _Rule | None
    ) -> Rejection | None:
        if rule is None:
            return Rejection(
                RejectionCode.UNKNOWN_SYMBOL, f"no instrument or asset is priced by {mark.symbol!r}"
            )
        return _fault(mark, last, received_ns, rule) or self._unconfirmed_jump(mark, last, rule.check)

    def _pass_time(self, mark: Mark) -> None:
        """Event time moves on; a mark dated long ago is believed, and stale at once."""
        late_ns = self.time_ns - mark.time_ns
        if late_ns <= 0:
            self.time_ns = mark.time_ns
        too_old = late_ns > self._rules[mark.symbol].stale_after_ns
        if too_old != (mark.symbol in self._stale):
            self._stale = self._stale | {mark.symbol} if too_old else self._stale - {mark.symbol}

    def _unconfirmed_jump(self, mark: Mark, last: Mark | None, check: PriceCheck) -> Rejection | None:
        if last is None or _near(mark.price, last.price, check):
            self._jumps.pop(mark.symbol, None)
            return None
        jump = self._jumps.get(mark.symbol)
        if jump is not None and mark.sequence <= jump.sequence:
            pass
        elif jump is not None and _near(mark.price, jump.first_price, check):
            jump = _Jump(jump.first_price, jump.seen + 1, mark.sequence)
        else:
            jump = _Jump(mark.price, 1, mark.sequence)
        if jump.seen >= check.jump_confirmations:
            self._jumps.pop(mark.symbol, None)
            return None
        self._jumps[mark.symbol] = jump
        return Rejection(
            RejectionCode.JUMP_UNCONFIRMED,
            f"{mark.price} is more than {check.jump_fraction:%} from {last.price}: "
            f"seen {jump.seen} of {check.jump_confirmations}",
        )


def _surely_near(mark: Mark, last: Mark, last_price: float, received_ns: int, rule: _Rule) -> float:
    """The price of a mark that surely passes every check, 0 for one to be looked at exactly."""
    price = mark.price
    if (
        mark.sequence <= last.sequence
        or mark.time_ns - received_ns > rule.ahead_ns
        or not (mark.volatility is mark.funding_rate is mark.average_price is mark.confidence is None)
        or not price.is_finite()
        # as many digits after the point as the last price had is not too many
        or not (price.same_quantum(last.price) or amount_fault(price) is None)
    ):
        return 0.0
    rounded = float(price)
    # |price - last| <= jump_fraction * last, and so above zero
    near = last_price * rule.low < rounded < min(last_price * rule.high, _INTEGER_PART_SURE)
    return rounded if near else 0.0


def _fault(mark: Mark, last: Mark | None, received_ns: int, rule: _Rule) -> Rejection | None:
    fault = amount_fault(mark.price)
    if fault is not None:
        return Rejection(RejectionCode.NOT_FINITE, f"price {fault}")
    if mark.price < ZERO or not (mark.price or rule.check.zero_allowed):
        return Rejection(RejectionCode.NOT_POSITIVE, f"price {mark.price} is not above zero")
    for name in ("volatility", "funding_rate", "average_price", "confidence"):
        fact = getattr(mark, name)
        if fact is not None and amount_fault(fact) is not None:
            return Rejection(RejectionCode.NOT_FINITE, f"{name} {amount_fault(fact)}")
        if fact is not None and fact < ZERO and name != "funding_rate":
            return Rejection(RejectionCode.NOT_POSITIVE, f"{name} {fact} is below zero")
    if last is not None and mark.sequence <= last.sequence:
        return Rejection(RejectionCode.OLD_SEQUENCE, f"sequence {mark.sequence} after {last.sequence}")
    if mark.time_ns - received_ns > rule.ahead_ns:
        return Rejection(
            RejectionCode.FUTURE_DATED, f"time_ns {mark.time_ns} is ahead of receipt {received_ns}"
        )
    return None


def _near(price: Decimal, reference: Decimal, check: PriceCheck) -> bool:
    with exact():
        return abs(price - reference) <= check.jump_fraction * reference
