"""Where a contract stands in its deleveraging risk, as the shards have stored it."""

import msgspec

from engine.liquidation.adl_risk import AdlState
from engine.strict_decoding import UNREADABLE
from streams.answers.shelf import Shelf
from streams.config.problem import Problem

_decoder = msgspec.json.Decoder(dict[str, AdlState])


async def adl_standing(shelf: Shelf, symbol: str) -> AdlState:
    """The contract's state; one of which nothing was ever said has no risk. Raises `Problem`."""
    return (await adl_standings(shelf)).get(symbol, AdlState())


async def adl_standings(shelf: Shelf) -> dict[str, AdlState]:
    """By contract, of those of which anything was ever said. Raises `Problem`."""
    found: dict[str, AdlState] = {}
    for shard in range(await shelf.shard_count()):
        for symbol, state in _read(await shelf.adl(shard), shard).items():
            found.setdefault(symbol, state)
    return found


def _read(data: bytes | None, shard: int) -> dict[str, AdlState]:
    try:
        return {} if data is None else _decoder.decode(data)
    except UNREADABLE as error:
        raise Problem(f"the deleveraging risks of shard {shard} in Redis cannot be read: {error}") from None
