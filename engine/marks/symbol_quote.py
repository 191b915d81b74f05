"""One symbol as it is quoted: its last believed mark, and every check that the next one takes.

Most marks carry a price alone, close to the last one: `takes` passes these by float bounds that lie inside the exact ones by more
than floats round. Every other mark takes the exact checks of `refusal`, one by one. A symbol that may be quoted at 0 and below is
believed within a share of its scale (`fact_checks`), which is no less than one of its price: above 0 the float bounds lie inside of
that too, and at 0 and below there is nothing between them.
"""

from decimal import Decimal

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS
from engine.marks.fact_checks import (
    FLOAT_MARGIN,
    SIGNED,
    Scale,
    completed,
    facts_of,
    has_kept,
    is_plain,
    near_price,
    range_fault,
)
from engine.marks.fact_trails import FactTrails
from engine.marks.notices import MarkRefusal, Notice, NoticeKind, refusal_of
from engine.marks.plausible_times import time_fault
from engine.marks.scale_starts import NOTHING_SCALES, ScaleStarts
from engine.marks.sequence_watch import Order, SequenceWatch
from engine.marks.trail import Confirming, Near, Trail
from engine.numbers import ZERO, amount_fault
from engine.policy import PriceCheck
from engine.rejections import RejectionCode

_INTEGER_PART_SURE = 1e23
"""Prices below have no more than `numbers.INTEGER_DIGITS_MAX` digits before the point, however a float rounds."""
_TOLD = {
    Order.EPOCH: NoticeKind.FEED_EPOCH,
    Order.RESTART: NoticeKind.FEED_RESTARTED,
    Order.LEAP: NoticeKind.SEQUENCE_LEAPT,
}

Anchor = tuple[Decimal, Decimal, str]
"""What the first mark of a symbol is held against: a price, the largest fraction off it, and what to call it."""


class Quote:
    """What is believed of one price symbol."""

    __slots__ = (
        "_facts", "_float", "_high", "_keeps", "_low", "_recognised", "_reference_high", "_reference_low", "_scale", "_slot_end_ns",
        "_step_max", "_trail", "_waits", "ahead_ns", "check", "mark", "order", "rule", "seen_ns", "stale_after_ns", "symbol", "told",
    )  # fmt: skip

    def __init__(
        self,
        symbol: str,
        check: PriceCheck,
        scale: Scale | None = None,
        starts: ScaleStarts = NOTHING_SCALES,
    ) -> None:
        """Nothing believed yet; `scale` is for a symbol that may be quoted at 0 and below.

        `starts`: where the policy begins to scale with the symbol's facts.
        """
        self.symbol, self.check, self._scale = symbol, check, scale
        self.stale_after_ns = int(check.stale_after_seconds * NANOSECONDS)
        self.ahead_ns = int(check.future_tolerance_seconds * NANOSECONDS)
        spacing_ns = int(check.jump_confirm_spacing_ms * NANOSECONDS / 1000)
        self.rule = Confirming(check.jump_confirmations, spacing_ns)
        self._step_max, self._slot_end_ns = check.sequence_step_max, 0
        self.order = SequenceWatch(self.rule, check.sequence_step_max)
        self.mark: Mark | None = None
        """The last believed one, as it was quoted; what it left out of the whole exchange is as in the one before."""
        self.seen_ns = 0
        """Its event time, or where that turned out to lie ahead of any present time, when that was found."""
        self.told: list[Notice] = []
        """Not yet taken by the mark book."""
        self._trail = Trail(int(check.jump_window_seconds * NANOSECONDS))
        self._facts = FactTrails(check, self.rule, scale, starts)
        self._recognised: Notice | None = None
        """What the number of the mark in hand says of its feed, told if it is believed."""
        self._waits = False
        """Whether anything waits for confirmation, which a believed mark ends."""
        self._keeps = False
        """Whether a mark has said anything of the whole exchange."""
        fraction = float(check.jump_fraction)
        # times the last price: surely no jump between these
        self._low = max(0.0, 1 - fraction + FLOAT_MARGIN)
        self._high = (1 + fraction) * (1 - FLOAT_MARGIN)
        self._float = self._reference_low = self._reference_high = 0.0

    def takes(self, mark: Mark, received_ns: int, floor_ns: int) -> bool:
        """Take a mark that surely passes every check; False for one to be looked at exactly.

        `floor_ns`: the smallest plausible time.
        """
        last = self.mark
        if last is None:
            return False
        time_ns, price = mark.time_ns, mark.price
        if (
            not 0 < mark.sequence - last.sequence <= self._step_max
            or not floor_ns <= time_ns <= received_ns + self.ahead_ns
            or mark.epoch != last.epoch
            or not price.is_finite()
            # as many digits after the point as the last price had is not too many
            or not (price.same_quantum(last.price) or amount_fault(price) is None)
        ):
            return False
        if time_ns >= self._slot_end_ns:
            self._roll(time_ns)
        rounded = float(price)
        # |price - last| <= jump_fraction * last, and so above zero; the same of the price of a moment ago
        if not (
            self._float * self._low < rounded < self._float * self._high
            and self._reference_low < rounded < self._reference_high
        ):
            return False
        plain = is_plain(mark)
        if not (plain or self._facts.takes(mark, rounded)):
            return False
        if self._keeps or not plain:
            mark = self._completed(mark, last)
        self.mark, self._float, self.seen_ns = mark, rounded, time_ns
        if self._waits:
            self._forget_waiting(mark)
        return True

    def refusal(
        self, mark: Mark, received_ns: int, floor_ns: int, anchor: Anchor | None
    ) -> MarkRefusal | None:
        """Why a mark is refused; None takes it. `anchor` is for a first one."""
        self._come_up()
        fault = self._fault(mark, received_ns, floor_ns) or self._jump(mark, received_ns, anchor)
        if fault is not None:
            return refusal_of(mark, *fault, received_ns)
        self._believe(mark)
        return None

    def prime(self, mark: Mark) -> None:
        """Take a mark that was believed before a restart."""
        self._forget_waiting(mark)
        self._recognised = self._trail.last = None
        self._facts.clear()
        self._believe(mark)

    def _fault(self, mark: Mark, received_ns: int, floor_ns: int) -> tuple[RejectionCode, str] | None:
        return (
            self._amounts_fault(mark)
            or self._time_fault(mark, floor_ns)
            or self._order_fault(mark, received_ns)
            or self._ahead_fault(mark, received_ns)
            or self._range_fault(mark)
        )

    def _amounts_fault(self, mark: Mark) -> tuple[RejectionCode, str] | None:
        fault, signed = amount_fault(mark.price), self._scale is not None
        if fault is not None:
            return RejectionCode.NOT_FINITE, f"price {fault}"
        if not signed and (mark.price < ZERO or not (mark.price or self.check.zero_allowed)):
            return RejectionCode.NOT_POSITIVE, f"price {mark.price} is not above zero"
        for name, value in facts_of(mark):
            if amount_fault(value) is not None:
                return RejectionCode.NOT_FINITE, f"{name} {amount_fault(value)}"
            if value < ZERO and name not in SIGNED and not (signed and name == "average_price"):
                return RejectionCode.NOT_POSITIVE, f"{name} {value} is below zero"
        return None

    @staticmethod
    def _time_fault(mark: Mark, floor_ns: int) -> tuple[RejectionCode, str] | None:
        fault = time_fault(mark.time_ns, floor_ns)
        return None if fault is None else (RejectionCode.TIME_IMPLAUSIBLE, fault)

    def _order_fault(self, mark: Mark, received_ns: int) -> tuple[RejectionCode, str] | None:
        self._recognised = None
        order, last = self.order.order(mark, received_ns + self.ahead_ns), self.order.last
        if last is None or order is Order.NEXT:
            return None
        self._waits = True
        said = f"sequence {mark.sequence} of epoch {mark.epoch} after {last.sequence} of {last.epoch}"
        if order in _TOLD:
            self._recognised = Notice(_TOLD[order], self.symbol, mark.time_ns, said)
            self._trail.forget_later(mark)
            self._facts.forget_later(mark)
            return None
        told = f"{said}: seen {self.order.seen} of {self.rule.confirmations} that go on from it"
        if order is Order.AHEAD:
            return RejectionCode.SEQUENCE_UNCONFIRMED, told
        return RejectionCode.OLD_SEQUENCE, told if self.order.seen else said

    def _ahead_fault(self, mark: Mark, received_ns: int) -> tuple[RejectionCode, str] | None:
        if mark.time_ns - received_ns <= self.ahead_ns:
            return None
        return RejectionCode.FUTURE_DATED, f"time_ns {mark.time_ns} is ahead of receipt {received_ns}"

    def _range_fault(self, mark: Mark) -> tuple[RejectionCode, str] | None:
        for name, value in facts_of(mark):
            fault = range_fault(name, value, mark.price, self.check, self._scale)
            if fault is not None:
                return RejectionCode.FACT_OUT_OF_RANGE, f"{name} {value} is {fault}"
        return None

    def _jump(self, mark: Mark, received_ns: int, anchor: Anchor | None) -> tuple[RejectionCode, str] | None:
        """Every value that jumped is counted, so that one run of marks confirms them together."""
        horizon_ns = received_ns + self.ahead_ns
        price = self._price_jump(mark, horizon_ns, anchor)
        fact, waits = self._facts.jump(mark, horizon_ns)
        self._waits = self._waits or waits
        if price is None and fact is not None:
            return RejectionCode.FACT_JUMP_UNCONFIRMED, fact
        return price

    def _price_jump(
        self, mark: Mark, horizon_ns: int, anchor: Anchor | None
    ) -> tuple[RejectionCode, str] | None:
        fraction = self.check.jump_fraction

        def near(value: Decimal, other: Decimal) -> bool:
            return near_price(value, other, fraction, self._scale)

        last = self.mark
        if last is None:
            if anchor is None:
                return None
            price, widest, name = anchor
            if near_price(mark.price, price, widest, self._scale):
                self._trail.jump = None
                return None
            seen = self._confirmed(self._trail, mark.price, price, mark, near, horizon_ns)
            said = f"{mark.price} is more than {widest:%} from {name} {price}"
            return None if seen is None else (RejectionCode.REFERENCE_UNCONFIRMED, f"{said}: {seen}")
        if mark.time_ns >= self._slot_end_ns:
            self._roll(mark.time_ns)
        if self._trail.is_near(mark.price, near):
            self._trail.jump = None
            return None
        seen = self._confirmed(self._trail, mark.price, last.price, mark, near, horizon_ns)
        said = f"{mark.price} is more than {fraction:%} from {last.price}, or from {self._trail.reference} a moment ago"
        return None if seen is None else (RejectionCode.JUMP_UNCONFIRMED, f"{said}: {seen}")

    def _confirmed(
        self, trail: Trail, value: Decimal, anchor: Decimal, mark: Mark, near: Near, horizon_ns: int
    ) -> str | None:
        """None once a far value is confirmed, else how far it is from that."""
        seen = trail.confirms(value, anchor, mark, near, self.rule, horizon_ns)
        self._waits = True
        return None if seen >= self.rule.confirmations else f"seen {seen} of {self.rule.confirmations}"

    def _believe(self, mark: Mark) -> None:
        trail, last = self._trail, self.mark
        if self._recognised is not None:
            self.told.append(self._recognised)
        jumped = trail.jump is not None
        if jumped:
            was = "a first mark" if last is None else f"from {last.price}"
            said = f"{mark.price}, {was}, is believed"
            self.told.append(Notice(NoticeKind.JUMP_CONFIRMED, self.symbol, mark.time_ns, said))
        trail.believe(mark.price, mark.time_ns, anew=jumped)
        self.told += self._facts.believe(mark)
        self.mark, self._float, self.seen_ns = self._completed(mark, last), float(mark.price), mark.time_ns
        self._bound_reference()
        self._forget_waiting(mark)

    def _completed(self, mark: Mark, last: Mark | None) -> Mark:
        if self._keeps and last is not None:
            return completed(mark, last)
        self._keeps = has_kept(mark)
        return mark

    def _come_up(self) -> None:
        """Marks that `takes` took left order and trail behind."""
        if self.mark is not None:
            self.order.last, self._trail.last = self.mark, self.mark.price

    def _roll(self, time_ns: int) -> None:
        self._come_up()
        self._trail.roll(time_ns)
        self._bound_reference()

    def _bound_reference(self) -> None:
        self._slot_end_ns = self._trail.slot_end_ns
        reference = float(self._trail.reference or ZERO)
        self._reference_low = reference * self._low
        self._reference_high = min(reference * self._high, _INTEGER_PART_SURE)

    def _forget_waiting(self, mark: Mark) -> None:
        self.order.believe(mark)
        self._trail.jump = None
        self._facts.forget_waiting()
        self._waits = False
