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
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Mark
from engine.numbers import ZERO, amount_fault, exact
from engine.policy import Policy, PriceCheck
from engine.rejections import Rejection, RejectionCode

NANOSECONDS = 1_000_000_000


class _Jump(msgspec.Struct, frozen=True):
    """A far price waiting to be believed."""

    first_price: Decimal
    seen: int
    sequence: int
    """Of the newest mark counted: the same mark delivered again confirms nothing."""


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
        self._checks = policy.price_symbols
        self._marks: dict[str, Mark] = {}
        self._jumps: dict[str, _Jump] = {}
        self._stale: frozenset[str] = frozenset(self._checks)
        self._stale_after_ns = {
            symbol: int(check.stale_after_seconds * NANOSECONDS) for symbol, check in self._checks.items()
        }
        self.time_ns = 0
        """The newest event time the book knows of, from accepted marks and `advance`."""

    def accept(self, mark: Mark, received_ns: int) -> Mark | Rejection:
        """Believe `mark`, received at `received_ns` (Unix ns), or say why not."""
        check = self._checks.get(mark.symbol)
        if check is None:
            return Rejection(
                RejectionCode.UNKNOWN_SYMBOL, f"no instrument or asset is priced by {mark.symbol!r}"
            )
        last = self._marks.get(mark.symbol)
        refusal = _refusal(mark, last, received_ns, check) or self._unconfirmed_jump(mark, last, check)
        if refusal is not None:
            return refusal
        self._marks[mark.symbol] = mark
        self.time_ns = max(self.time_ns, mark.time_ns)
        too_old = self.time_ns - mark.time_ns > self._stale_after_ns[mark.symbol]
        if too_old != (mark.symbol in self._stale):
            self._stale = self._stale | {mark.symbol} if too_old else self._stale - {mark.symbol}
        return mark

    def advance(self, now_ns: int) -> frozenset[str]:
        """Move event time forward and return the price symbols that are stale now."""
        self.time_ns = max(self.time_ns, now_ns)
        self._stale = frozenset(
            symbol
            for symbol, after_ns in self._stale_after_ns.items()
            if symbol not in self._marks or self.time_ns - self._marks[symbol].time_ns > after_ns
        )
        return self._stale

    def prime(self, mark: Mark) -> None:
        """Take a mark that was accepted before a restart; an older one than the book's changes nothing."""
        last = self._marks.get(mark.symbol)
        if mark.symbol in self._checks and (last is None or mark.sequence > last.sequence):
            self._marks[mark.symbol] = mark

    @property
    def prices(self) -> Prices:
        """The current view; `marks` is live, so read it before the next `accept`."""
        return Prices(marks=self._marks, stale=self._stale, time_ns=self.time_ns)

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


def _refusal(mark: Mark, last: Mark | None, received_ns: int, check: PriceCheck) -> Rejection | None:
    fault = amount_fault(mark.price)
    if fault is not None:
        return Rejection(RejectionCode.NOT_FINITE, f"price {fault}")
    if mark.price < ZERO or not (mark.price or check.zero_allowed):
        return Rejection(RejectionCode.NOT_POSITIVE, f"price {mark.price} is not above zero")
    for name in ("volatility", "funding_rate", "average_price", "confidence"):
        fact = getattr(mark, name)
        if fact is not None and amount_fault(fact) is not None:
            return Rejection(RejectionCode.NOT_FINITE, f"{name} {amount_fault(fact)}")
        if fact is not None and fact < ZERO and name != "funding_rate":
            return Rejection(RejectionCode.NOT_POSITIVE, f"{name} {fact} is below zero")
    if last is not None and mark.sequence <= last.sequence:
        return Rejection(RejectionCode.OLD_SEQUENCE, f"sequence {mark.sequence} after {last.sequence}")
    if mark.time_ns - received_ns > check.future_tolerance_seconds * NANOSECONDS:
        return Rejection(
            RejectionCode.FUTURE_DATED, f"time_ns {mark.time_ns} is ahead of receipt {received_ns}"
        )
    return None


def _near(price: Decimal, reference: Decimal, check: PriceCheck) -> bool:
    with exact():
        return abs(price - reference) <= check.jump_fraction * reference
