"""A contract's deleveraging risk in words, for people."""

from engine.events.adl_events import AdlEvent
from engine.liquidation.adl_risk import AdlState
from streams.config.terminal import amount, printable
from streams.contract.cloudevents import rfc3339

_PLACES = 2


def risk_in_words(event: AdlEvent) -> str:
    """Which level the contract came to, and what is taken of which fund."""
    exposure = event.exposure
    change = f"{printable(event.symbol)}: {event.previous_level.value} -> {event.level.value}"
    taken = f"{amount(exposure.expected_shortfall, _PLACES)} of the {amount(exposure.fund, _PLACES)}"
    return f"{change}: liquidations are expected to take {taken} in fund {printable(exposure.group)}"


def standing_in_words(state: AdlState | None) -> str:
    """The level and since when; None where no fund is stated that pays for the contract."""
    if state is None:
        return "deleveraging risk: not told, no fund is stated that pays for the contract"
    since = "" if state.since_ns is None else f" since {rfc3339(state.since_ns)}"
    return f"deleveraging risk: {state.level.value}{since}"
