"""What a shard's liquidations do to the market and to the exchange, for the metrics: fills that execute them, and losses."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.events.effects import EventType, Stream
from engine.inputs import Fill
from engine.margin.quotes import index_price
from engine.marks.mark_book import MarkBook
from engine.numbers import ZERO, exact
from engine.policy import Policy
from streams.contract.commit import OutboxEntry
from streams.observe.metrics import Metrics


class _Plan(msgspec.Struct):
    expected_shortfall: Decimal = ZERO


class _Said(msgspec.Struct):
    """What of a liquidation event counts here."""

    account: str
    position: str | None
    plan: _Plan | None = None


_decoder = msgspec.json.Decoder(_Said)


class Cascade:
    """Counts for one shard."""

    def __init__(self, policy: Policy, marks: MarkBook, metrics: Metrics) -> None:
        """Nothing is being liquidated."""
        self._policy, self._marks, self._metrics = policy, marks, metrics
        self._expected: dict[tuple[str, str | None], Decimal] = {}
        """Shortfall counted so far, by account and pool, until its liquidation ends."""

    def rule_by(self, policy: Policy) -> None:
        """Value by another policy from now on."""
        self._policy = policy

    def on_executed(self, fills: Iterable[Fill]) -> None:
        """Fills that name a liquidation were applied."""
        for fill in fills:
            instrument = self._policy.instruments.get(fill.symbol)
            if instrument is None:
                # it has left the policy: it is booked, but nobody prices it any more
                continue
            index, _ = index_price(self._policy, instrument.settle, self._marks.prices)
            with exact():
                # |value(price)| * index(settle)
                notional = instrument.notional(fill.quantity, fill.price) * index
            self._metrics.liquidated_notional_total.labels(fill.symbol).inc(float(notional))

    def on_committed(self, entries: Iterable[OutboxEntry]) -> None:
        """These became durable. A pool that is planned anew counts with what its expected shortfall grew by."""
        for entry in entries:
            if entry.topic != Stream.LIQUIDATIONS:
                continue
            if entry.event_type == EventType.LIQUIDATION_REQUESTED:
                said = _decoder.decode(entry.value)
                self._expect(
                    (said.account, said.position), said.plan.expected_shortfall if said.plan else ZERO
                )
            elif entry.event_type == EventType.LIQUIDATION_COMPLETED:
                said = _decoder.decode(entry.value)
                self._expected.pop((said.account, said.position), None)

    def _expect(self, pool: tuple[str, str | None], shortfall: Decimal) -> None:
        counted = self._expected.get(pool, ZERO)
        if shortfall > counted:
            self._expected[pool] = shortfall
            self._metrics.expected_shortfall_total.inc(float(shortfall - counted))
