"""An outage of prices in words, for people."""

from engine.events.price_events import PriceEvent


def outage_in_words(event: PriceEvent) -> str:
    """What is out, since when, and whom it concerns."""
    outage = event.outage
    seconds = (outage.time_ns - outage.since_ns) / 1e9
    concerned = f"{event.accounts:,} accounts with {event.equity:,.0f} of equity"
    if not outage.symbol:
        return f"{outage.symbols_stale} of {outage.symbols} symbols stale for {seconds:,.1f} s: {concerned}"
    why = "a second source" if outage.by_second_source else "no fresh mark"
    return f"{outage.symbol}: {why} for {seconds:,.1f} s: {concerned}"
