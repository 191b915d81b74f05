"""The checks of `unimargin doctor` that look at prices: what was refused lately, what a second source doubts, what no mark states."""

import time

from redis.asyncio import Redis

from engine.marks.fact_checks import KEPT, facts_of
from engine.marks.mark_book import NANOSECONDS
from engine.marks.scale_starts import scale_starts
from engine.numbers import ONE
from engine.policy import Policy
from streams.answers.symbols_report import SymbolView, symbol_views
from streams.cli.doctor.check import Check, ok, warn
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError, load_policy
from streams.config.terminal import printable
from streams.store.belief_store import read_beliefs
from streams.store.policy_store import ruling_policy
from streams.store.redis_access import saved_marks, shard_count
from streams.store.store_reader import StoreReader

LATELY_SECONDS = 300
SHOWN_MAX = 5


async def examine_prices(client: Redis, settings: Settings) -> list[Check]:
    """Refusals of the last five minutes, doubted indices, and what the policy asks of the exchange though nobody states it.

    Nothing where the policy cannot be read, which is told elsewhere.
    """
    try:
        policy = await ruling_policy(client, settings.redis_prefix, load_policy(settings.policy_file))
    except (SettingsError, Problem):
        return []
    now_ns = time.time_ns()
    views = symbol_views([], await read_beliefs(client, settings.redis_prefix), policy, now_ns)
    return [_refused(views, now_ns), _doubted(views), *await _unstated(client, settings, policy)]


async def _unstated(client: Redis, settings: Settings, policy: Policy) -> list[Check]:
    """Whether marks state what the policy asks of the whole exchange, where it asks anything."""
    starts = scale_starts(policy)
    if not starts:
        return []
    store, stated = StoreReader(client, settings.redis_prefix), set()
    for shard in range(await shard_count(client, settings.redis_prefix)):
        for mark in await saved_marks(store, shard):
            stated |= {(mark.symbol, name) for name, _ in facts_of(mark)}
    missing = [
        f"{printable(symbol)}: {name}"
        for symbol, start in sorted(starts.items())
        for name in KEPT
        # an exchange without spot orders has no potential deposits to state
        if name != "potential_deposits"
        and start.least(name, ONE) is not None
        and (symbol, name) not in stated
    ]
    if not missing:
        return [ok("amounts of the exchange", "stated by marks")]
    more = [f"and {len(missing) - SHOWN_MAX} more"] if len(missing) > SHOWN_MAX else []
    return [
        warn(
            "amounts of the exchange",
            f"never stated: {', '.join([*missing[:SHOWN_MAX], *more])}",
            "the policy scales with them, or caps profits by them, and does neither until marks of these symbols state them",
        )
    ]


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
