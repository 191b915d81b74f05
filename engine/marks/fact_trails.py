"""The facts of one symbol, as they were believed: which jump, which wait to be confirmed."""

from decimal import Decimal

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS
from engine.marks.fact_checks import FACTS, KEPT, SIZES, FloatBounds, Scale, facts_of, near_fact
from engine.marks.notices import Notice, NoticeKind
from engine.marks.scale_starts import ScaleStarts
from engine.marks.trail import Confirming, Trail
from engine.numbers import ONE, ZERO, amount_fault
from engine.policy import PriceCheck


class FactTrails:
    """A trail of each fact that the symbol's marks have carried."""

    __slots__ = ("_bounds", "_check", "_moving", "_rule", "_scale", "_starts", "_trails", "_window_ns")

    def __init__(self, check: PriceCheck, rule: Confirming, scale: Scale | None, starts: ScaleStarts) -> None:
        """Nothing believed yet."""
        self._check, self._rule, self._scale, self._starts = check, rule, scale, starts
        self._bounds = FloatBounds(check)
        self._window_ns = int(check.jump_window_seconds * NANOSECONDS)
        self._trails: dict[str, Trail] = {}
        self._moving = [name for name in KEPT if starts.least(name, ONE) is not None]

    def takes(self, mark: Mark, price: float) -> bool:
        """Take facts that surely pass every check beside a believed price; False, and nothing taken, where one needs a look."""
        taken: list[tuple[Trail, Decimal]] = []
        for name in FACTS:
            value: Decimal | None = getattr(mark, name)
            if value is None:
                continue
            trail = self._trails.get(name)
            if trail is None or trail.last is None or trail.reference is None or not value.is_finite():
                return False
            if mark.time_ns >= trail.slot_end_ns:
                trail.roll(mark.time_ns)
            last = trail.last
            if value != last or name == "average_price":
                if not (value.same_quantum(last) or amount_fault(value) is None):
                    return False
                if not self._bounds.holds(name, float(value), float(last), float(trail.reference), price):
                    return False
            taken.append((trail, value))
        for trail, value in taken:
            trail.last = value
        return True

    def jump(self, mark: Mark, horizon_ns: int) -> tuple[str | None, bool]:
        """The first fact of a mark that jumped and is not confirmed, in words; and whether any waits. Every one is counted."""
        unconfirmed: str | None = None
        waits = False
        for name, value in facts_of(mark):
            trail = self._trails.get(name)
            if trail is None or trail.last is None:
                continue
            trail.roll(mark.time_ns)

            least = self._starts.least(name, mark.price) if name in KEPT else ZERO

            def near(one: Decimal, other: Decimal, name: str = name, least: Decimal | None = least) -> bool:
                return near_fact(name, one, other, self._check, self._scale, least)

            if trail.is_near(value, near):
                trail.jump = None
                continue
            waits = True
            seen = trail.confirms(value, trail.last, mark, near, self._rule, horizon_ns)
            if seen < self._rule.confirmations and unconfirmed is None:
                unconfirmed = (
                    f"{name} {value} is a jump from {trail.last}, or from {trail.reference} a moment ago: "
                    f"seen {seen} of {self._rule.confirmations}"
                )
        return unconfirmed, waits

    def believe(self, mark: Mark) -> list[Notice]:
        """The mark is believed, its facts with it; what is to be told of them."""
        told: list[Notice] = []
        for name, value in facts_of(mark):
            trail = self._trails.setdefault(name, Trail(self._window_ns))
            jumped = trail.jump is not None
            if jumped:
                said = f"{name} {value}, from {trail.last}, is believed"
                told.append(Notice(NoticeKind.JUMP_CONFIRMED, mark.symbol, mark.time_ns, said))
            trail.believe(value, mark.time_ns, anew=jumped)
        for name in self._moving:
            if name not in self._trails:
                # nothing scaled, and every profit counted, while nothing was stated: what moves figures first is a jump from that
                self._trails[name] = Trail(self._window_ns)
                self._trails[name].believe(ZERO if name in SIZES else ONE, mark.time_ns, anew=True)
        return told

    def forget_later(self, mark: Mark) -> None:
        """The feed began anew with this mark."""
        for trail in self._trails.values():
            trail.forget_later(mark)

    def forget_waiting(self) -> None:
        """A believed mark ends what waits."""
        for trail in self._trails.values():
            trail.jump = None

    def clear(self) -> None:
        """Nothing is known of any fact."""
        self._trails.clear()
