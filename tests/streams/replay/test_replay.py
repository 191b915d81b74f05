"""`unimargin replay` of files: what it says is known by hand, and it says so again, to the byte."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.config.settings import load_policy
from tests.support.builders import mark, sample_text, seconds
from tests.support.cli import Said, unimargin
from tests.support.replay_files import bought, crash_recording, deposited, events, line, quoted, written
from tests.support.workers import TREE

SEED = 11


def replay(data: Path, *words: str, policy: Path | None = None) -> Said:
    chosen = ("--policy", str(policy)) if policy else ()
    return unimargin("replay", "--data", str(data), "--json", *chosen, *words)


def policy_file(directory: Path, *changes: tuple[str, str], name: str = "policy.toml") -> Path:
    path = directory / name
    path.write_text(sample_text(*changes))
    return path


def falling(*accounts: bytes) -> list[bytes]:
    """Prices at 0 s, these inputs, then BTC falls from 50,000 to 47,000 and 44,600."""
    return [*quoted(0), *accounts, *quoted(1, BTC_PERP=47_000), *quoted(2, BTC_PERP=44_600)]


# 1 BTC long from 50,000 at 44,600 has lost 5,400 and requires 5 % of 44,600 = 2,230:
# alice (8,000 - 5,400) / 2,230 = 1.166    bob (8,300 - 5,400) / 2,230 = 1.300    carol (7,600 - 5,400) / 2,230 = 0.987
THREE = [
    *(deposited(name, wallet) for name, wallet in (("alice", 8_000), ("bob", 8_300), ("carol", 7_600))),
    *(bought(name, 1, 50_000) for name in ("alice", "bob", "carol")),
]


def test_diff_when_the_call_line_moves_then_names_who_is_called_under_one_policy_alone(
    tmp_path: Path,
) -> None:
    data = written(tmp_path / "day.jsonl", falling(*THREE))
    runs = {}
    for call_line in ("1.2", "1.1", "1.35"):
        policy = policy_file(tmp_path, ("margin_call = 1.2", f"margin_call = {call_line}"))
        runs[call_line] = tmp_path / f"{call_line}.jsonl"
        assert replay(data, "--events", str(runs[call_line]), policy=policy).code == 0

    def compared(a: str, b: str) -> Said:
        return unimargin("replay", "--diff", str(runs[a]), str(runs[b]), "--json")

    # 1.166 is below 1.2 and not below 1.1
    eased = compared("1.2", "1.1")
    assert eased.code == 1
    called = eased.json["called"]
    assert ([it["account"] for it in called["only_a"]], called["only_b"], called["both"]) == (
        ["alice"],
        [],
        1,
    )
    (alice,) = called["only_a"]
    assert (alice["time_ns"], alice["ratio"][:6]) == (seconds(2), "1.1659")
    assert eased.json["liquidated"] == {"both": 1, "only_a": [], "only_b": []}  # carol
    # 1.300 is below 1.35
    tightened = compared("1.2", "1.35").json["called"]
    assert ([it["account"] for it in tightened["only_b"]], tightened["both"]) == (["bob"], 2)
    assert compared("1.2", "1.2").json["same"] is True
    told = unimargin("replay", "--diff", str(runs["1.2"]), str(runs["1.1"]))
    assert told.code == 1
    for words in ("called in A alone: 1", "alice", "the policies differ", "first difference in line"):
        assert words in told.out, told.out


def test_diff_when_only_the_policys_name_differs_then_says_that_the_events_are_the_same(
    tmp_path: Path,
) -> None:
    data = written(tmp_path / "day.jsonl", falling(*THREE))
    for name in ("sample", "renamed"):
        policy = policy_file(tmp_path, ('name = "sample"', f'name = "{name}"'))
        assert replay(data, "--events", str(tmp_path / f"{name}.jsonl"), policy=policy).code == 0
    told = unimargin(
        "replay", "--diff", str(tmp_path / "sample.jsonl"), str(tmp_path / "renamed.jsonl"), "--json"
    )
    assert (told.code, told.json["same"], told.json["first"]) == (1, False, None)
    assert told.json["policies"][0] != told.json["policies"][1]


def test_replay_when_run_again_under_other_hash_seeds_and_books_then_equal_to_the_byte(
    tmp_path: Path,
) -> None:
    data = crash_recording(tmp_path / "crash.csv.gz", load_policy(None), SEED)
    runs = []
    for hash_seed, book in (("1", "columnar"), ("2", "columnar"), ("3", "plain")):
        out = tmp_path / f"{hash_seed}.jsonl"
        options = ("--accounts", "60", "--seed", str(SEED), "--book", book, "--events", str(out), "--json")
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", "replay", "--data", str(data), *options],
            cwd=TREE,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        runs.append((out.read_bytes(), done.stdout))
    (first, told), *others = runs
    summary = Said(0, told, "").json
    for content, other in others:
        assert content == first
        assert Said(0, other, "").json["digests"] == summary["digests"]
    # the crash reached what there is to say
    assert {"margin.warning.opened", "liquidation.requested", "account.bankrupt"} <= set(summary["by_type"])
    assert summary["accounts"] == 60
    assert "none is executed" in " ".join(summary["notes"])


def test_replay_when_a_deposit_comes_in_the_instant_of_its_fill_then_nobody_is_called(tmp_path: Path) -> None:
    policy = policy_file(tmp_path)

    def said(deposited_at: int) -> list[str]:
        data = tmp_path / f"at-{deposited_at}"
        data.mkdir()
        written(data / "fills.jsonl", [bought("alice", 1, 50_000, at=5)])
        written(data / "ledger.jsonl", [deposited("alice", 8_000, at=deposited_at)])
        written(data / "prices.jsonl", [*quoted(0), *quoted(6)])
        out = tmp_path / "out.jsonl"
        assert replay(data, "--events", str(out), policy=policy).code == 0
        return [it["type"] for it in events(out)]

    # fills come before ledger entries of the same instant, and yet the account is judged with both
    assert said(deposited_at=5) == []
    assert "account.bankrupt" in said(deposited_at=6)


def test_replay_when_nothing_comes_then_a_hold_time_still_runs_out_at_its_second(tmp_path: Path) -> None:
    inputs = [deposited("alice", 8_000), bought("alice", 1, 50_000)]
    # 45,400: (8,000 - 4,600) / 2,270 = 1.498, a warning; at 47,000 (8,000 - 3,000) / 2,350 = 2.13 the hold of 5 s begins
    lines = [*quoted(0), *inputs, *quoted(1, BTC_PERP=45_400), *quoted(2, BTC_PERP=47_000), *quoted(11)]
    out = tmp_path / "out.jsonl"
    data = written(tmp_path / "day.jsonl", lines)
    assert replay(data, "--events", str(out), policy=policy_file(tmp_path)).code == 0
    said = [
        (it["type"], it["time_ns"]) for it in events(out) if not it["type"].endswith(("updated", "explained"))
    ]
    assert said == [("margin.warning.opened", seconds(1)), ("margin.warning.resolved", seconds(2 + 5))]


def test_replay_when_silent_for_years_then_what_becomes_stale_is_said_and_it_ends(tmp_path: Path) -> None:
    years = 10 * 365 * 86_400
    lines = [*quoted(0), deposited("alice", 8_000), bought("alice", 1, 50_000), *quoted(years)]
    out = tmp_path / "out.jsonl"
    told = replay(written(tmp_path / "day.jsonl", lines), "--events", str(out), policy=policy_file(tmp_path))
    assert told.code == 0
    said = [it["type"] for it in events(out)]
    # all prices gone at once is one fact, of the feed and not of the accounts
    assert said == ["engine.feed_stale", "engine.feed_recovered"]
    assert told.json["to_ns"] == seconds(years)


def test_replay_when_a_price_symbol_has_no_price_then_judging_waits_as_long_as_a_worker_looks_back(
    tmp_path: Path,
) -> None:
    def without_ada(at: int) -> list[bytes]:
        return [it for it in quoted(at) if b"ADA-PERP" not in it]

    # bankrupt from the first: a fill and no deposit
    lines = [bought("alice", 1, 60_000), *without_ada(0), *without_ada(9), *without_ada(18)]
    out = tmp_path / "out.jsonl"
    policy = policy_file(tmp_path)
    assert replay(written(tmp_path / "a.jsonl", lines), "--events", str(out), policy=policy).code == 0
    assert {it["time_ns"] for it in events(out)} == {seconds(15)}
    lines.insert(1, line(mark("ADA-PERP", "0.5")))
    assert replay(written(tmp_path / "b.jsonl", lines), "--events", str(out), policy=policy).code == 0
    assert {it["time_ns"] for it in events(out)} == {0}


def test_replay_when_paced_or_packed_then_the_same_events(tmp_path: Path) -> None:
    data = written(tmp_path / "day.jsonl.gz", falling(*THREE))
    policy = policy_file(tmp_path)
    plain, packed, again = (tmp_path / name for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.gz"))
    for out, speed in ((plain, "max"), (packed, "20"), (again, "max")):
        assert replay(data, "--events", str(out), "--speed", speed, policy=policy).code == 0
    assert events(plain) == events(packed) != []
    assert packed.read_bytes() == again.read_bytes()
    assert unimargin("replay", "--diff", str(plain), str(packed)).code == 0


def test_replay_when_liquidations_are_executed_by_fills_of_the_input_then_no_note_says_otherwise(
    tmp_path: Path,
) -> None:
    policy = policy_file(tmp_path)
    out = tmp_path / "out.jsonl"
    first = replay(written(tmp_path / "a.jsonl", falling(*THREE)), "--events", str(out), policy=policy)
    (asked,) = [it for it in events(out) if it["type"] == "liquidation.requested"]
    assert asked["account"] == "carol"
    (note,) = first.json["notes"]
    assert note.startswith("1 liquidations were requested and none is executed")
    sold = bought("carol", 1, 44_600, at=3, side="sell", liquidation_id=asked["liquidation_id"])
    lines = [*falling(*THREE), sold, *quoted(4, BTC_PERP=44_600), *quoted(10, BTC_PERP=44_600)]
    then = replay(written(tmp_path / "b.jsonl", lines), "--events", str(out), policy=policy)
    assert then.json["notes"] == []
    assert "liquidation.completed" in then.json["by_type"]


def test_replay_when_shown_to_people_then_tells_time_rate_worst_seconds_and_digests(tmp_path: Path) -> None:
    data = written(tmp_path / "day.jsonl", falling(*THREE))
    told = unimargin("replay", "--data", str(data), "--policy", str(policy_file(tmp_path)))
    assert (told.code, told.err) == (0, "")
    for words in ("marks/s", "second of most events", "slowest second", "digest of ladder", "margin.warning"):
        assert words in told.out, told.out


@pytest.mark.parametrize("order", [1, -1])
def test_replay_when_files_hold_the_day_in_parts_then_they_are_merged_by_time(
    tmp_path: Path, order: int
) -> None:
    policy = policy_file(tmp_path)
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts"
    parts.mkdir()
    written(whole, falling(*THREE))
    # named so that the order of names is, once, against the order of time
    pieces = [[*quoted(0), *THREE], quoted(1, BTC_PERP=47_000), quoted(2, BTC_PERP=44_600)]
    for number, piece in enumerate(pieces[::order]):
        written(parts / f"{number}.jsonl", piece)
    one = replay(whole, policy=policy).json["digests"]
    assert replay(parts, policy=policy).json["digests"] == one


def test_replay_when_a_recording_pauses_then_its_prices_stay_fresh_for_as_long_as_is_said(
    tmp_path: Path,
) -> None:
    t0 = 1_760_000_000_000
    trades = ("BTCUSD,50000,1", "BTCUSD,50000,1")
    # the sample policy takes a price for stale after 10 s; the pause is 300 s
    rows = (f"{t0 + 300_000 * i},{trade}" for i, trade in enumerate(trades))
    written(tmp_path / "day.csv", (it.encode() for it in ("ts_ms,symbol,price,qty", *rows)))
    day_ns = t0 * 1_000_000
    inputs = [
        deposited("alice", 8_000).replace(b'"time_ns":0', b'"time_ns":%d' % day_ns),
        bought("alice", 1, 50_000).replace(b'"time_ns":0', b'"time_ns":%d' % day_ns),
    ]
    written(tmp_path / "inputs.jsonl", inputs)
    out = tmp_path.parent / f"{tmp_path.name}.jsonl"
    policy = policy_file(tmp_path)
    for fresh, last_repeat in (("900", None), ("60", 60), ("0", 0)):
        assert replay(tmp_path, "--fresh", fresh, "--events", str(out), policy=policy).code == 0
        found = [
            it["time_ns"] - day_ns
            for it in events(out)
            if it["type"] == "symbol.degraded" and it["outage"]["symbol"] == "BTC-PERP"
        ]
        # at the first whole second after it has become older than 10 s, and then held for 10 s
        assert found == ([] if last_repeat is None else [seconds(last_repeat + 10 + 1 + 10)])
