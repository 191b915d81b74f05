"""The deleveraging risk of every contract, once a second: what all shards leave unpaid against the fund, told by one shard each.

A round
-------
1. the books of the shards here are looked at, an account at a time (`engine.book.unpaid`)
2. what they leave unpaid is written beside that of all other shards, and all of it is read (`streams.store.unpaid_store`)
3. the shard that is home to a contract's `adl/NAME` advances its level, and commits the level with the event that says so

So it does not matter which worker has which shard: whoever has the home shard knows the whole, a change is said once whatever crashes in
between, and what is said of one contract stays in one partition. While no fund is known, and while the feed is silent, levels stay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

import structlog

from engine.book.account_book import AccountBook
from engine.liquidation.adl_risk import AdlLevel, FundExposure, fund_exposures
from engine.liquidation.fund_groups import FundBalance
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from streams.observe.metrics import Metrics
from streams.shards.shard import ShardRunner
from streams.shards.shard_standing import Condition
from streams.shards.shards import Shards
from streams.store.redis_client import StoreUnavailable
from streams.store.unpaid_store import UnpaidByShard

ROUND_SECONDS = 1.0
LOOKED_AT_MAX = 100
"""Accounts of a shard that are brought up to date in one round, beside those that are new in liquidation: some 20 ms where pools are plain."""

_VALUES = {level: number for number, level in enumerate(AdlLevel)}
_log = structlog.get_logger()


class AdlRounds:
    """Tells the risk for the shards of one worker."""

    def __init__(
        self,
        shards: Shards,
        marks: MarkBook,
        policy: Policy,
        metrics: Metrics,
        *,
        funds: Callable[[], Sequence[FundBalance] | None],
        exchange: Callable[[UnpaidByShard], Awaitable[UnpaidByShard]],
    ) -> None:
        """`funds` are those that are stated, None while that is not known; `exchange` writes what ours leave unpaid and reads it of all."""
        self._shards, self._marks, self._policy, self._metrics = shards, marks, policy, metrics
        self._funds, self._exchange = funds, exchange

    def rule_by(self, policy: Policy) -> None:
        """Another policy is in force."""
        self._policy = policy

    async def run(self) -> None:
        """Go round until cancelled; nothing happens before funds are known."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            if self._funds() is not None:
                await self.round()

    async def round(self) -> None:
        """Look, exchange, tell. While Redis is away nothing is told."""
        own = {it.shard: await _looked_at(it.processor.book) for it in self._running}
        try:
            unpaid = await self._exchange(own)
        except StoreUnavailable as error:
            _log.warning("unpaid_not_exchanged", error=str(error))
            return
        funds = self._funds()
        if funds is None or self._shards.feed_silent:
            return
        prices, shards = self._marks.prices, tuple(sorted(unpaid))
        exposures = fund_exposures([unpaid[shard] for shard in shards], funds, prices, self._policy)
        for runner in self._running:
            if (
                runner.processor.policy is self._policy
            ):  # while another comes into force it is a shard after the other's
                runner.take([runner.processor.adl.tell(exposures, shards, prices.time_ns)])
        self._tell(exposures)

    @property
    def _running(self) -> list[ShardRunner]:
        return [it for it in self._shards.runners if it.condition is Condition.RUNNING]

    def _tell(self, exposures: Mapping[str, FundExposure]) -> None:
        metrics = self._metrics
        for gauge in (metrics.adl_risk, metrics.fund_value, metrics.fund_expected_shortfall):
            gauge.clear()
        for runner in self._running:
            for symbol, level in runner.processor.adl.levels(exposures).items():
                metrics.adl_risk.labels(symbol).set(_VALUES[level])
        for it in exposures.values():
            metrics.fund_value.labels(it.group).set(float(it.fund))
            metrics.fund_expected_shortfall.labels(it.group).set(float(it.expected_shortfall))


async def _looked_at(book: AccountBook) -> Mapping[str, Decimal]:
    for _ in book.look_at_unpaid(LOOKED_AT_MAX):
        await asyncio.sleep(0)
    return book.unpaid
