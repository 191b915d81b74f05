"""Bytes that are nobody's, given to everything that reads a record of Kafka or a value of Redis: told in the reader's own way, nothing else.

What a reader lets escape ends its process, and the record is there again at the next start.
"""

import ast
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.events.effects import AccountRisk, Stream
from engine.inputs import OrderUpdate, Topic
from engine.ledger.accounts import AccountState, encode
from engine.liquidation.fund_groups import FundBalance
from engine.marks.mark_book import MarkBook
from engine.rejections import Rejection
from engine.strict_decoding import UNREADABLE
from streams.answers.symbols_report import _belief
from streams.cli.events.events_command import _as_json, _entered
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.account_copy import AccountCopy, ShardCovered, copy_entry, read_copy, read_format
from streams.contract.codec import accounts_of_mismatch, decode_account_input, decode_prices
from streams.contract.fund_record import decode_fund
from streams.contract.operator_command import decode_operator_record
from streams.contract.policy_version import (
    PolicyVersion,
    decode_policy_version,
    policy_bytes,
    ruling_of,
    with_listed,
)
from streams.contract.published_event import decode_event, read_published
from streams.contract.record import Record
from streams.desk.cascade_totals import CascadeTotals
from streams.desk.stream_events import stream_event
from streams.kafka.policy_follower import PolicyFollower
from streams.shards.rebuilding import _Scan
from streams.shards.shard_identity import ShardIdentity
from streams.store.redis_access import read_risk, read_state
from tests.streams.contract.test_cloudevents import EVENT
from tests.support.builders import sample
from tests.support.cluster import TREE
from tests.support.inputs import deposit, fill, mark

POLICY = sample()
ORDER = OrderUpdate(
    account="alice", time_ns=1, update_id="u", order_id="o", symbol="BTC-PERP", side="buy",
    quantity=Decimal(1), price=Decimal(1),
)  # fmt: skip
VERSION = PolicyVersion(
    version=1, activated_ns=1, digest=POLICY.digest, name="n", published_ns=1, who="w", why="y",
    policy=msgspec.Raw(policy_bytes(POLICY)),
)  # fmt: skip
COPY = AccountCopy("alice", 1, 1, 1, msgspec.Raw(encode(AccountState("alice"))))
COVERED = ShardCovered(0, 1, 1, 1, {"fills": "here/1"}, 1, 1)
COMMAND = {
    "type": "accounts_resume", "id": "c", "time_ns": 1, "who": "w", "why": "y",
    "stops": [{"account": "alice", "topic": "fills", "stop_offset": 1}],
}  # fmt: skip
DEEP = "[" * 100_000 + "]" * 100_000
ODD: tuple[Any, ...] = (
    "NaN", "sNaN", "Infinity", "1E+999999999", "1E-999999999", "-1", "", "\0", -1, 0, 1.5, 2**63, 2**200, None, True, [], {},
)  # fmt: skip
"""In the place of any value."""
BROKEN_AT_MOST = 400
FLIPPED = 1000


class Reader(NamedTuple):
    """Whoever reads bytes."""

    read: Callable[[bytes], object]
    sound: bytes
    """What it reads."""
    tells: tuple[type[BaseException], ...] = ()
    """What it may raise; whoever asks it is ready for that."""


def _ruled(value: bytes) -> None:
    version = decode_policy_version(b"1", value)
    if isinstance(version, PolicyVersion):
        ruling_of(version, POLICY)


def _followed(value: bytes) -> None:
    follower = PolicyFollower(Settings(), POLICY)
    follower._take(SimpleNamespace(topic="policies", partition=0), Record(1, b"1", value))  # type: ignore[arg-type]


def _scanned(value: bytes) -> None:
    topics = {topic: topic.value for topic in Topic}
    scan = _Scan(ShardIdentity(0, lambda _: 0, topics, "quarantine", "/test"))
    for key in (b"alice", b"\xffshard", b"\xfe", None):
        scan.add(Record(0, key, value))


def _record(value: bytes) -> Any:
    return SimpleNamespace(value=value, topic="margin-events", partition=0, offset=0, key=b"k", timestamp=0)


SAID = msgspec.json.encode(EVENT)
STATE = encode(AccountState("alice", balances={"USDT": Decimal(1)}))
RISK = msgspec.json.encode(AccountRisk("alice"))
READERS = {
    "fills": Reader(
        lambda it: decode_account_input(Topic.FILLS, b"alice", it), msgspec.json.encode(fill("alice"))
    ),
    "orders": Reader(lambda it: decode_account_input(Topic.FILLS, b"alice", it), msgspec.json.encode(ORDER)),
    "ledger": Reader(
        lambda it: decode_account_input(Topic.LEDGER, b"alice", it), msgspec.json.encode(deposit("alice"))
    ),
    "whose key is another's": Reader(
        lambda it: accounts_of_mismatch(Topic.LEDGER, b"\xff", it), msgspec.json.encode(deposit("alice"))
    ),
    "prices": Reader(decode_prices, msgspec.json.encode(mark("BTC-PERP"))),
    "operator": Reader(decode_operator_record, msgspec.json.encode(COMMAND)),
    "fund": Reader(
        lambda it: decode_fund(b"g", it),
        msgspec.json.encode(FundBalance(group="g", balances={"USDT": Decimal(1)}, time_ns=1)),
    ),
    "policies": Reader(_ruled, msgspec.json.encode(VERSION)),
    "policies, followed": Reader(_followed, msgspec.json.encode(VERSION)),
    "policies that are kept": Reader(lambda it: with_listed(POLICY, it), policy_bytes(POLICY)),
    "events": Reader(decode_event, SAID),
    "events, read back": Reader(
        lambda it: read_published(
            Stream.MARGIN_EVENTS, EVENT.account.encode(), it, {"ce_id": EVENT.id.encode()}
        ),
        SAID,
    ),
    "events of the desk": Reader(lambda it: stream_event(Stream.MARGIN_EVENTS, _record(it)), SAID),
    "events that are listed": Reader(lambda it: (_entered(_record(it)), _as_json(_record(it), {})), SAID),
    "liquidations that are counted": Reader(
        lambda it: CascadeTotals(POLICY, lambda: MarkBook(POLICY).prices).take(it), SAID
    ),
    "copies": Reader(lambda it: (read_format(it), read_copy(it)), copy_entry("c", 0, COPY).value, UNREADABLE),
    "copies of a shard": Reader(_scanned, copy_entry("c", 0, COVERED).value),
    "copies of an account": Reader(_scanned, copy_entry("c", 0, COPY).value),
    "states": Reader(lambda it: read_state("alice", it), STATE, (Problem,)),
    "risks": Reader(lambda it: read_risk("alice", it), RISK, (Problem,)),
    "beliefs": Reader(lambda it: _belief("BTC-PERP", it), b'{"refusal": null}', (Problem,)),
}


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, child in children:
        yield (*place, name)
        yield from _places(child, (*place, name))


def _with(document: Any, place: tuple[Any, ...], odd: Any) -> bytes:
    changed = json.loads(json.dumps(document))
    inner = changed
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = odd
    return json.dumps(changed).encode()


def _broken(sound: bytes) -> Iterator[bytes]:
    """Whole and in shape but for one thing, and then no JSON at all."""
    rng, document = random.Random(1), json.loads(sound)
    places = list(_places(document))
    for place in rng.sample(places, min(len(places), BROKEN_AT_MOST // len(ODD))):
        for odd in ODD:
            yield _with(document, place, odd)
    quotes = [at for at, byte in enumerate(sound) if byte == ord('"')]
    for at in rng.sample(quotes, min(len(quotes), BROKEN_AT_MOST)):
        yield sound[: at + 1] + b"\xff" + sound[at + 1 :]
    marker = b'"deep"'
    for place in rng.sample(places, min(len(places), 20)):
        yield _with(document, place, "deep").replace(marker, DEEP.encode())
    yield _with(document, ("unknown",), "deep").replace(marker, DEEP.encode())
    yield from (
        b"",
        b"\xff",
        b"null",
        b"1",
        b"[]",
        b"{}",
        b'"x"',
        b"{",
        b"\xef\xbb\xbf{}",
        DEEP.encode(),
        b'{"type": "\xff"}',
    )
    for _ in range(FLIPPED):
        flipped = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        yield bytes(flipped)


@pytest.mark.parametrize("name", READERS)
def test_reader_when_bytes_are_broken_in_any_way_then_it_tells_so_in_its_own_way(name: str) -> None:
    reader = READERS[name]
    assert not isinstance(reader.read(reader.sound), Rejection)
    for value in _broken(reader.sound):
        try:
            reader.read(value)
        except reader.tells:
            continue
        except Exception as escaped:  # noqa: BLE001 - that is what is looked for
            pytest.fail(f"{type(escaped).__name__}: {escaped} escapes for {value[:300]!r}")


def _names(caught: ast.expr | None) -> set[str]:
    return (
        {
            it.attr if isinstance(it, ast.Attribute) else it.id
            for it in ast.walk(caught)
            if isinstance(it, ast.Attribute | ast.Name)
        }
        if caught
        else set()
    )


def test_handlers_when_they_expect_what_is_no_json_then_what_is_no_text_and_too_deep_as_well() -> None:
    """`UNREADABLE` names all three; msgspec says so of bytes only by other exceptions than its own."""
    incomplete = []
    for file in [*TREE.glob("streams/**/*.py"), *TREE.glob("engine/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Try):
                caught = set[str]().union(*(_names(it.type) for it in node.handlers))
                if (
                    caught & {"MsgspecError", "DecodeError"}
                    and not {"UnicodeDecodeError", "RecursionError"} <= caught
                ):
                    incomplete.append(f"{file.relative_to(TREE)}:{node.lineno}")
    assert incomplete == []
