"""One digest for each part of a replay's end: equal parts have equal digests, whatever led there."""

import hashlib
from collections.abc import Iterable

import msgspec

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState, encode
from engine.marks.mark_book import Prices
from streams.replay.runner import Replay

_encode = msgspec.json.Encoder(order="deterministic").encode


class Digests(msgspec.Struct, frozen=True):
    """SHA-256 in hex."""

    accounts: str
    marks: str
    """The last believed mark of every symbol, and which are stale."""
    ladder: str
    """Bands, episodes, timers and event numbers of every account of which anything was ever said."""


def digests(replay: Replay) -> Digests:
    """Digests of where a replay stands."""
    books = [shard.book for shard in replay.shards]
    names = [(account, book) for book in books for account in book.accounts()]
    states = (state for account, book in names if (state := book.state(account)) is not None)
    return Digests(
        accounts=accounts_digest(states),
        marks=marks_digest(replay.marks.prices),
        ladder=ladder_digest(book.risk(account) for account, book in names),
    )


def accounts_digest(states: Iterable[AccountState]) -> str:
    """Of all account states, in the order of their names."""
    ordered = sorted(states, key=lambda state: state.account)
    return _of_lines(encode(state) for state in ordered)


def ladder_digest(risks: Iterable[AccountRisk]) -> str:
    """Of all risk records but those of accounts of which nothing was ever said."""
    told = (risk for risk in risks if risk != AccountRisk(risk.account))
    return _of_lines(_encode(risk) for risk in sorted(told, key=lambda risk: risk.account))


def marks_digest(prices: Prices) -> str:
    """Of the last believed marks and the stale symbols."""
    marks = [prices.marks[symbol] for symbol in sorted(prices.marks)]
    return _of_lines([*map(_encode, marks), _encode(sorted(prices.stale))])


def _of_lines(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line + b"\n")
    return digest.hexdigest()
