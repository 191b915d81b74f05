"""`unimargin replay`: what is wrong with an input or an option is said in a line, and nothing is half done."""

import json
from pathlib import Path

import pytest

from tests.support.builders import mark, sample_text
from tests.support.cli import NOWHERE, unimargin
from tests.support.replay_files import bought, deposited, events, line, quoted, written


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(sample_text())
    return path


def test_replay_when_lines_are_no_messages_then_put_aside_with_line_and_reason_and_the_rest_goes_on(
    tmp_path: Path, policy: Path
) -> None:
    unlisted = bought("carol", 1, 50_000, symbol="DOGE-PERP")
    lines = [
        *quoted(0),  # lines 1 to 6
        deposited("alice", 8_000),
        b"{",  # line 8
        b"",
        b'{"type":"deposit","account":"bob","time_ns":0}',  # line 10: bob is stopped
        deposited("bob", 100),  # line 11
        unlisted,  # line 12
        b'{"type":"mark","symbol":"BTC-PERP","price":"x","sequence":9,"time_ns":0}',  # line 13
        b'{"type":"gift","account":"dave"}',  # line 14
        b"\xff\xfe",  # line 15
        b'"' + b"x" * 600_000 + b'"',  # line 16
        bought("alice", 1, 50_000),
        *quoted(1, BTC_PERP=45_400),  # a warning for alice
    ]
    data = written(tmp_path / "day.jsonl", lines)
    out, refused = tmp_path / "out.jsonl", tmp_path / "refused.jsonl"
    words = ("--data", str(data), "--policy", str(policy), "--events", str(out), "--quarantine", str(refused))
    told = unimargin("replay", *words, "--json")
    assert told.code == 0, told.err
    found = [json.loads(it) for it in refused.read_text().splitlines()]
    assert {it["place"]: it["reason"] for it in found} == {
        f"{data}, line 8": "malformed",
        f"{data}, line 10": "wrong_shape",
        f"{data}, line 11": "account_stopped",
        f"{data}, line 12": "unknown_instrument",
        f"{data}, line 13": "wrong_shape",
        f"{data}, line 14": "wrong_shape",
        f"{data}, line 15": "malformed",
        f"{data}, line 16": "oversized",
    }
    assert sum(told.json["quarantined"].values()) == len(found)
    assert told.json["first_quarantined"] == found
    assert ("alice", "margin.warning.opened") in [(it["account"], it["type"]) for it in events(out)]
    shown = unimargin("replay", *words)
    assert f"{data}, line 10: wrong_shape" in shown.out


def test_replay_when_a_mark_is_of_no_listed_symbol_then_refused_and_counted(
    tmp_path: Path, policy: Path
) -> None:
    lines = [*quoted(0), line(mark("DOGE-PERP", 1)), line(mark("BTC-PERP", 50_000, sequence=1, at=1))]
    told = unimargin(
        "replay", "--data", str(written(tmp_path / "a.jsonl", lines)), "--policy", str(policy), "--json"
    )
    assert told.code == 0
    assert told.json["marks_refused"] == {"old_sequence": 1, "unknown_symbol": 1}


def test_replay_when_a_file_breaks_off_then_says_where_and_leaves_the_old_events(
    tmp_path: Path, policy: Path
) -> None:
    whole = written(
        tmp_path / "day.jsonl.gz", [*quoted(0), *(deposited(f"a-{i}", i + 1) for i in range(5_000))]
    )
    whole.write_bytes(whole.read_bytes()[:-2_000])
    out = tmp_path / "out.jsonl"
    out.write_text("as it was\n")
    told = unimargin("replay", "--data", str(whole), "--policy", str(policy), "--events", str(out))
    assert (told.code, told.out) == (2, "")
    assert f"{whole}, line " in told.err
    assert "cannot be read" in told.err
    assert out.read_text() == "as it was\n"
    assert not list(tmp_path.glob("*unfinished*")) + list(tmp_path.glob(".*unfinished*"))


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("empty.jsonl", b"", "nothing to replay"),
        ("blank.jsonl", b"\n\n", "nothing to replay"),
        ("empty.csv", b"", "the file has no rows"),
        ("header.csv", b"ts_ms,symbol,price,qty\n", "no row to play"),
        ("other.csv", b"ts_ms,symbol,price,qty\n1760000000000,DOGSUSD,1,1\n", "no row to play"),
        ("not.jsonl.gz", b"plain text", "cannot be read"),
        (
            "torn.csv",
            b"ts_ms,symbol,price,qty\n1760000000000,BTCUSD,50000,1\n1760000000001,BTCUSD\n",
            "line 3: 2 fields",
        ),
    ],
)
def test_replay_when_there_is_nothing_to_play_then_says_so(
    tmp_path: Path, policy: Path, name: str, content: bytes, hint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    out = tmp_path / "out.jsonl"
    told = unimargin(
        "replay", "--data", str(path), "--policy", str(policy), "--events", str(out), "--accounts", "0"
    )
    assert (told.code, told.out) == (2, "")
    assert hint in told.err
    assert len(told.err.splitlines()) == 1
    assert not out.exists()


def test_replay_when_options_make_no_sense_then_says_which(tmp_path: Path, policy: Path) -> None:
    day = str(written(tmp_path / "day.jsonl", quoted(0)))
    nothing = tmp_path / "empty-directory"
    nothing.mkdir()
    for words, hint in (
        ((), "say what to do"),
        (("--from-topics", "--data", day), "say what to do"),
        (("--data", day, "--diff", day, day), "say what to do"),
        (("--data", str(tmp_path / "absent")), "no such file"),
        (("--data", str(nothing)), "no file in it ends in"),
        (("--data", day, "--accounts", "5"), "made-up accounts open at a recording's prices"),
        (("--data", day, "--speed", "fast"), "--speed 'fast'"),
        (("--data", day, "--speed", "0"), "--speed '0'"),
        (("--data", day, "--from", "yesterday"), "not an ISO time"),
        (("--data", day, "--from-first"), "--from-first"),
        (("--from-topics", "--accounts", "5"), "for recordings"),
        (("--from-topics", "--from", "2025-10-10"), "for recordings"),
        (("--data", day, "--events", str(tmp_path / "no" / "out.jsonl")), "cannot be written"),
        (("--diff", day, str(tmp_path / "absent")), "cannot be read"),
        (("--diff", day, day), "day.jsonl, line 1: not a risk event"),
    ):
        told = unimargin("replay", *words, env={"UNIMARGIN_POLICY_FILE": str(policy)})
        assert (told.code, told.out) == (2, ""), (words, told)
        assert hint in told.err, (words, told.err)
        assert len(told.err.splitlines()) == 1


def test_replay_when_no_broker_answers_then_says_so() -> None:
    told = unimargin("replay", "--from-topics", env={"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE})
    assert (told.code, told.out) == (1, "")
    assert NOWHERE in told.err


@pytest.mark.parametrize("name", ["day.jsonl", "day.jsonl.gz"])
def test_replay_when_a_file_begins_with_the_mark_of_its_encoding_then_its_first_message_is_read(
    tmp_path: Path, policy: Path, name: str
) -> None:
    data = written(
        tmp_path / name, [b"\xef\xbb\xbf" + deposited("alice", 8_000), bought("alice", 1, 50_000), *quoted(0)]
    )
    told = unimargin("replay", "--data", str(data), "--policy", str(policy), "--json")
    assert told.code == 0, told.err
    assert told.json["quarantined"] == {}
