"""Where a contract stands in its deleveraging risk, as the shards have stored it."""

import msgspec

from engine.liquidation.adl_risk import AdlState
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.store.redis_access import open_redis, shard_count
from streams.store.store_reader import StoreReader

_decoder = msgspec.json.Decoder(dict[str, AdlState])


async def adl_standing(settings: Settings, symbol: str) -> AdlState:
    """The contract's state; one of which nothing was ever said has no risk. Raises `Problem`."""
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        for shard in range(await shard_count(client, settings.redis_prefix)):
            states = _read(await store.adl(shard), shard)
            if symbol in states:
                return states[symbol]
    return AdlState()


def _read(data: bytes | None, shard: int) -> dict[str, AdlState]:
    try:
        return {} if data is None else _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Problem(f"the deleveraging risks of shard {shard} in Redis cannot be read: {error}") from None
