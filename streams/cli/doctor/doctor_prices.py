"""The checks of `unimargin doctor` that look at prices: what was refused lately, and what a second source doubts."""

import time

from redis.asyncio import Redis

from engine.marks.mark_book import NANOSECONDS
from streams.cli.doctor.check import Check, ok, warn
from streams.cli.symbols.symbols_report import SymbolView, symbol_views
from streams.config.settings import Settings, SettingsError, load_policy
from streams.config.terminal import printable
from streams.store.belief_store import read_beliefs

LATELY_SECONDS = 300
SHOWN_MAX = 5


async def examine_prices(client: Redis, settings: Settings) -> list[Check]:
    """Refusals of the last five minutes, and doubted indices; nothing where the policy cannot be read, which is told elsewhere."""
    try:
        policy = load_policy(settings.policy_file)
    except SettingsError:
        return []
    now_ns = time.time_ns()
    views = symbol_views([], await read_beliefs(client, settings.redis_prefix), policy, now_ns)
    return [_refused(views, now_ns), _doubted(views)]


def _refused(views: list[SymbolView], now_ns: int) -> Check:
    lately = [
        (it.symbol, it.refusal)
        for it in views
        if it.refusal is not None and now_ns - it.refusal.received_ns < LATELY_SECONDS * NANOSECONDS
    ]
    if not lately:
        return ok("refused marks", f"none in {LATELY_SECONDS // 60} minutes")
    lately.sort(key=lambda pair: -pair[1].received_ns)
    told = [f"{printable(symbol)}: {refusal.reason.value}" for symbol, refusal in lately[:SHOWN_MAX]]
    more = [f"and {len(lately) - SHOWN_MAX} more"] if len(lately) > SHOWN_MAX else []
    return warn("refused marks", ", ".join([*told, *more]), "`unimargin symbols show SYMBOL` says why")


def _doubted(views: list[SymbolView]) -> Check:
    doubted = [
        f"{printable(it.symbol)}: quoted {it.second_source.quoted}, other {it.second_source.other}"
        for it in views
        if it.second_source is not None and it.second_source.doubt is not None
    ]
    if not doubted:
        return ok("second sources", "none diverges")
    return warn(
        "second sources",
        "; ".join(doubted),
        "liquidations that rest on them are withheld: which one is right?",
    )
