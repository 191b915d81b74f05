"""Inputs of a replay as files: a line a message, dated in seconds since the beginning of event time."""

import gzip
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from engine.inputs import AccountInput, Deposit, Fill, Mark
from engine.policy import Policy
from streams.exchange.market.sample_market import quotes
from streams.exchange.market.scenario import SyntheticCrash
from tests.support.builders import Number, mark, seconds

SAMPLE_QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 50_000,
    "BTC-PERP": 50_000,
    "ETH-PERP": 3_000,
    "ADA-PERP": "0.5",
    "USD-PERP": 50_000,
}
"""Every price symbol of the sample policy."""
CRASH_MS = 1_760_130_000_000


def line(message: AccountInput | Mark) -> bytes:
    """A message as its topic would carry it."""
    return msgspec.json.encode(message)


def deposited(account: str, amount: Number, at: Number = 0, **fields: object) -> bytes:
    """A deposit of USDT."""
    made = {"entry_id": f"{account}-deposit-{at}", "asset": "USDT", **fields}
    return line(Deposit(account=account, amount=Decimal(amount), time_ns=seconds(at), **made))


def bought(account: str, quantity: Number, price: Number, at: Number = 0, **fields: object) -> bytes:
    """A fill that buys the BTC perpetual without a fee."""
    made = {"trade_id": f"{account}-fill-{at}", "symbol": "BTC-PERP", "side": "buy", **fields}
    return line(
        Fill(account=account, quantity=Decimal(quantity), price=Decimal(price), time_ns=seconds(at), **made)
    )


def quoted(at: Number, **moved: Number) -> list[bytes]:
    """A mark of every symbol, some moved: an underscore stands for the dash. Sequences are milliseconds."""
    prices = SAMPLE_QUOTES | {symbol.replace("_", "-"): price for symbol, price in moved.items()}
    sequence = int(Decimal(at) * 1000) + 1
    return [line(mark(symbol, price, sequence, at)) for symbol, price in prices.items()]


def written(path: Path, lines: Iterable[bytes]) -> Path:
    """A file of these lines, packed where its name says so."""
    content = b"".join(it + b"\n" for it in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def events(path: Path) -> list[dict[str, object]]:
    """The events of a run."""
    content = path.read_bytes()
    return [
        json.loads(it) for it in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    ]


def crash_recording(path: Path, policy: Policy, seed: int) -> Path:
    """Two minutes of a synthetic crash as recorded trades of every coin."""
    coins = {quote.symbol: quote.coin for quote in quotes(policy) if quote.settle}
    rows = (
        f"{CRASH_MS + int(it.at_seconds * 1000)},{coins[it.symbol]}USD,{it.price},1"
        for it in _believable(SyntheticCrash(policy, seed=seed, seconds=120, ticks_per_second=20))
        if it.symbol in coins
    )
    return written(path, (row.encode() for row in ("ts_ms,symbol,price,qty", *rows)))


def _believable(crash: SyntheticCrash) -> Iterator:
    return (it for it in crash if it.believable)
