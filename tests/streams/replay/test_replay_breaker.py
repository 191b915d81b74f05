"""A replay takes the breaker, and what an operator decided, as a worker does: to the byte, whichever book judges."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.inputs import FundingPayment
from streams.contract.operator_command import BreakerRelease, BreakerVoid
from tests.support.builders import sample_text, seconds
from tests.support.cli import unimargin
from tests.support.replay_files import bought, deposited, events, line, quoted, written

NAMES = [f"a-{number:02}" for number in range(12)]
RULES = "\n[breaker]\naccounts_min = 3\n"


def funding(amount: int, at: int) -> list[bytes]:
    """A job writes the same payment to everybody."""
    return [
        line(
            FundingPayment(
                account=name, time_ns=seconds(at), entry_id=f"f-{at}-{name}", symbol="BTC-PERP",
                amount=Decimal(amount),
            )
        )
        for name in NAMES
    ]  # fmt: skip


def decided(kind: type, at: int) -> bytes:
    return msgspec.json.encode(kind(id=f"op-{at}", who="desk", why="checked", time_ns=seconds(at)))


def day(*after: bytes) -> list[bytes]:
    """Everybody is long 1 BTC of 50,000 on 8,000; at 3 s a job charges 7,000 of funding to each."""
    opened = [it for name in NAMES for it in (deposited(name, 8_000), bought(name, 1, 50_000))]
    return [*quoted(0), *opened, *quoted(1), *funding(-7_000, 3), *quoted(4), *after]


def run(directory: Path, lines: list[bytes], book: str = "columnar") -> list[dict[str, object]]:
    policy = directory / "policy.toml"
    policy.write_text(sample_text() + RULES)
    data, out = written(directory / "day.jsonl", lines), directory / f"{book}.jsonl"
    done = unimargin(
        "replay", "--data", str(data), "--policy", str(policy), "--book", book, "--events", str(out), "--json"
    )
    assert done.code == 0, done.err
    return events(out)


def types(said: list[dict[str, object]]) -> list[object]:
    return [it["type"] for it in said]


@pytest.mark.parametrize(
    ("after", "requested", "closed"),
    [
        ([], 0, []),
        ([decided(BreakerRelease, 5), *quoted(6)], 12, ["engine.liquidations_released"]),
        (
            [*funding(7_000, 5), *quoted(6), decided(BreakerVoid, 7), *quoted(8)],
            0,
            ["engine.liquidations_voided"],
        ),
        (
            [decided(BreakerVoid, 5), *quoted(6)],
            0,
            ["engine.liquidations_voided", "engine.liquidations_held"],
        ),
    ],
)
def test_replay_when_a_ledger_job_was_wrong_then_held_until_the_operator_says_and_both_books_say_the_same(
    tmp_path, after, requested, closed
):
    said = run(tmp_path, day(*after))
    assert types(said).count("liquidation.requested") == requested
    of_breaker = [it for it in said if str(it["type"]).startswith("engine.liquidations")]
    assert types(of_breaker) == ["engine.liquidations_held", *closed]
    cause = of_breaker[0]["opening"]["cause"]
    assert (cause["kind"], cause["inputs"][0]["kinds"]) == ("batch", {"funding_payment": 12})
    content = (tmp_path / "columnar.jsonl").read_bytes()
    run(tmp_path, day(*after), "plain")
    assert (tmp_path / "plain.jsonl").read_bytes() == content
    run(tmp_path, day(*after))
    assert (tmp_path / "columnar.jsonl").read_bytes() == content


def test_replay_when_a_line_is_no_command_then_it_is_put_aside(tmp_path):
    said = run(tmp_path, day(b'{"type":"breaker_release","id":"op-1"}', *quoted(6)))
    assert types(said).count("liquidation.requested") == 0
