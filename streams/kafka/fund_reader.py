"""Reading the fund's topic as it stands: it is compacted, so the newest record of each group is all there is to know."""

from engine.liquidation.fund_groups import FundBalance
from engine.rejections import Rejection
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.fund_record import decode_fund
from streams.kafka.topic_access import find_places, open_reader

POLL_MS = 500


async def read_funds(settings: Settings) -> list[FundBalance]:
    """The funds, by group. Raises `Problem` where the topic cannot be read, or holds what is no balance of a fund."""
    places = await find_places(settings, [settings.topic_fund])
    newest: dict[bytes | None, FundBalance] = {}
    async with open_reader(settings) as consumer:
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place, begin in begins.items():
            consumer.seek(place, begin)
        behind = {place for place in places if begins[place] < ends[place]}
        while behind:
            for records in (await consumer.getmany(*behind, timeout_ms=POLL_MS)).values():
                for record in records:
                    newest.pop(record.key, None)
                    if record.value:
                        newest[record.key] = _balance(
                            settings.topic_fund, record.offset, record.key, record.value
                        )
            # compaction leaves gaps, so the position tells and not the last record
            behind = {place for place in behind if await consumer.position(place) < ends[place]}
    return sorted(newest.values(), key=lambda fund: fund.group)


def _balance(topic: str, offset: int, key: bytes | None, value: bytes) -> FundBalance:
    fund = decode_fund(key, value)
    if isinstance(fund, Rejection):
        raise Problem(f"record {offset} of {topic} is no balance of a fund: {fund.detail}")
    return fund
