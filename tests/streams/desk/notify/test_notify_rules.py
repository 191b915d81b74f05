"""Rules of the notifier: how mistakes are told, and who hears of what."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.events.effects import EventType
from engine.ladder import Band
from streams.config.settings import SettingsError
from streams.desk.notify.deliveries import is_quiet
from streams.desk.notify.desk_notices import Matcher, digest_of, notice_of
from streams.desk.notify.notify_rules import QuietHours
from streams.desk.notify.positions import PartitionPosition
from streams.desk.notify.rules_file import load_rules, secret_of
from tests.streams.cli.test_cli_events import said_of

GOOD = """
[targets.desk]
kind = "webhook"
url = { env = "HOOK" }
secret = { file = "/run/hook" }

[targets.oncall]
kind = "pagerduty"
routing_key = { env = "KEY" }

[groups]
vips = ["big-*", "alice"]

[rules.calls]
types = ["margin.call.*"]
groups = ["vips"]
equity_min = 1000
targets = ["desk"]

[rules.condemned]
entered = ["liquidation", "bankrupt"]
targets = ["oncall", "desk"]

[rules.breaker]
types = ["engine.liquidations_*"]
targets = ["oncall"]
"""


def rules_of(tmp_path: Path, text: str):
    file = tmp_path / "rules.toml"
    file.write_text(text)
    return load_rules(file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("equity_min", "equty_min", ["[rules.calls]", "line 17", "did you mean `equity_min`"]),
        ("[targets.oncall]", "[targets.oncall", ["not valid TOML"]),
        ('kind = "webhook"', 'kind = "webhok"', ["[targets.desk]", "line 3", "did you mean 'webhook'"]),
        ('targets = ["desk"]', 'targets = ["dsk"]', ["[rules.calls]", "line 14", "'desk'"]),
        ('"margin.call.*"', '"margin.cal.*"', ["[rules.calls]", "margin.call."]),
        ('groups = ["vips"]', 'groups = ["vip"]', ["'vips'"]),
        ('entered = ["liquidation", "bankrupt"]', "", ["[rules.condemned]", "what is it to tell of"]),
        ('secret = { file = "/run/hook" }', "", ["[targets.desk]", "line 2", "needs `secret`"]),
        ('{ env = "KEY" }', "{ }", ["[targets.oncall]", "either `env` or `file`"]),
        ('{ env = "KEY" }', '"s3cret"', ["routing_key"]),
        (
            'kind = "pagerduty"',
            'kind = "pagerduty"\nendpoint = "https://u%3As3cret%40pager.example/v2"',
            ["[targets.oncall]", "`endpoint`"],
        ),
        (
            "[groups]",
            '[targets.desk.quiet]\nfrom = "22:00"\nto = "07:00"\nzone = "Europe/Berln"\n[groups]',
            ["[targets.desk]", "Berln"],
        ),
    ],
)  # fmt: skip
def test_rules_when_one_is_broken_then_the_message_names_table_line_and_nearest(tmp_path, old, new, said):
    assert rules_of(tmp_path, GOOD)
    assert old in GOOD
    with pytest.raises(SettingsError) as error:
        rules_of(tmp_path, GOOD.replace(old, new, 1))
    for word in said:
        assert word in str(error.value)
    assert "s3cret" not in str(error.value)


def test_secret_when_it_is_not_there_then_the_place_is_named_and_nothing_else(tmp_path, monkeypatch):
    rules = rules_of(tmp_path, GOOD)
    with pytest.raises(SettingsError, match="environment variable HOOK"):
        secret_of(rules.targets["desk"].url, "[targets.desk] url")
    with pytest.raises(SettingsError, match="/run/hook"):
        secret_of(rules.targets["desk"].secret, "[targets.desk] secret")
    monkeypatch.setenv("HOOK", "https://there")
    assert secret_of(rules.targets["desk"].url, "") == "https://there"


@pytest.mark.parametrize(
    ("account", "kind", "equity", "heard"),
    [
        ("big-1", EventType.CALL_OPENED, 1000, {"desk": "calls"}),
        ("big-1", EventType.CALL_OPENED, 999, {}),
        ("alice", EventType.CALL_UPDATED, 5000, {"desk": "calls"}),
        ("bob", EventType.CALL_OPENED, 5000, {}),
        ("bob", EventType.LIQUIDATION_ENTERED, 1, {"oncall": "condemned", "desk": "condemned"}),
        ("bob", EventType.LIQUIDATION_REQUESTED, 1, {}),
    ],
)
def test_rules_when_an_event_comes_then_those_whose_every_condition_it_meets(
    tmp_path, account, kind, equity, heard
):
    event = msgspec.structs.replace(said_of(account, 1, kind), equity=Decimal(equity))
    if kind is EventType.LIQUIDATION_ENTERED:
        event = msgspec.structs.replace(event, entered=Band.LIQUIDATION)
    assert Matcher(rules_of(tmp_path, GOOD)).targets(event) == heard


@pytest.mark.parametrize(
    ("begin", "end", "at", "quiet"),
    [
        ("22:00", "07:00", "2026-01-10T21:30", True),  # 22:30 in Berlin
        ("22:00", "07:00", "2026-01-10T20:59", False),
        ("22:00", "07:00", "2026-07-10T20:00", True),  # summer: 22:00
        ("22:00", "07:00", "2026-01-10T06:00", False),
        ("12:00", "13:00", "2026-01-10T11:00", True),
    ],
)
def test_quiet_hours_when_asked_then_by_the_clocks_of_their_zone(begin, end, at, quiet):
    hours = QuietHours(begin, end, "Europe/Berlin")
    assert is_quiet(hours, datetime.fromisoformat(at).replace(tzinfo=UTC)) is quiet


def test_notices_when_one_verdict_is_told_in_both_topics_then_of_the_same_change():
    opened = msgspec.structs.replace(
        said_of("a", 1, EventType.REDUCE_ONLY_OPENED),
        episode_id="e", previous_band=Band.HEALTHY, band=Band.LIQUIDATION,
    )  # fmt: skip
    entered = msgspec.structs.replace(opened, type=EventType.LIQUIDATION_ENTERED, id="a/y/1")
    later = msgspec.structs.replace(entered, id="a/y/2", time_ns=entered.time_ns + 1)
    changes = [notice_of(it, "r").change for it in (opened, entered, later)]
    assert changes[0] == changes[1] != changes[2]
    assert notice_of(opened, "r").loud


def test_digest_when_made_then_counts_every_event_and_names_some():
    notices = [notice_of(said_of(f"a{it}", 1, EventType.CALL_OPENED), "r") for it in range(30)]
    digest = digest_of(notices, "desk")
    assert digest.types == {"margin.call.opened": 30}
    assert len(digest.event_ids) == 30
    assert "and 20 more" in digest.summary


def test_position_when_deliveries_end_out_of_order_then_it_waits_for_the_oldest():
    position = PartitionPosition(5)
    position.read(5, 2)
    position.read(6, 0)
    position.read(8, 1)
    position.done_of(8)()
    assert position.position == 5
    position.done_of(5)()
    assert position.position == 5
    position.done_of(5)()
    assert (position.position, position.waiting) == (9, 0)
