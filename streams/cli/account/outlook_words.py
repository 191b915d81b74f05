"""What an account is told, in words: its call, and what follows where nothing is done."""

from collections.abc import Iterable
from decimal import Decimal

from engine.ladder.outlook import Awaited, Outlook, Step
from engine.ladder.states import CallKind, Controls
from streams.config.terminal import amount
from streams.contract.cloudevents import rfc3339

MAY = {
    Controls.TRADE_AND_WITHDRAW: "trade and withdraw",
    Controls.TRADE_ONLY: "trade, and withdraw nothing",
    Controls.REDUCE_ONLY: "only reduce",
    Controls.LOCKED: "do nothing: it is locked",
}
_STEPS = {
    Step.WARNING: "a warning",
    Step.MARGIN_CALL: "a margin call",
    Step.REDUCE_ONLY: "reduce-only",
    Step.LIQUIDATION: "liquidation",
    Step.TAKEOVER: "the takeover at the bankruptcy prices",
    Step.AGED_CALL: "the call is told as unmet",
    Step.BETTER_BAND: "a better band",
}
_AWAITED = {
    Awaited.PLAN: "as soon as its plan is made",
    Awaited.EXCHANGE: "as the exchange's fills come",
    Awaited.PRICE: "as soon as its prices can be trusted",
    Awaited.BREAKER: "as soon as an operator releases it",
}


def call_words(call: CallKind, outstanding: Decimal, deadline_ns: int | None, currency: str) -> str:
    """A call on one line; how much is missing, and until when."""
    if call is CallKind.NONE:
        return "none"
    until = "" if deadline_ns is None else f", due {rfc3339(deadline_ns)}"
    return f"{call.value}: {amount(outstanding)} {currency} outstanding{until}"


def outlook_words(outlooks: Iterable[Outlook]) -> str:
    """What follows, on one line."""
    return "; ".join(f"{_STEPS[it.step]} {_condition(it)}" for it in outlooks)


def _condition(outlook: Outlook) -> str:
    if outlook.below_ratio is not None:
        return f"below a ratio of {amount(outlook.below_ratio)}"
    if outlook.at_ns is not None:
        return f"at {rfc3339(outlook.at_ns)}"
    return _AWAITED[outlook.awaits or Awaited.EXCHANGE]
