"""`unimargin policy responsiveness` on a small recording."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.policy import parse
from streams.config.settings import policy_text
from tests.support.cli import unimargin

D = Decimal
START_MS = 1_760_130_000_000
COURSE = (100_000, 95_000, 90_000, 96_000, 99_000, 108_000)
"""A price a minute: a fall of 10 %, and a rise of 20 % out of it."""


@pytest.fixture
def day(tmp_path: Path) -> Path:
    rows = [
        f"{START_MS + minute * 60_000 + half * 30_000},{coin}USD,{price},1"
        for minute, price in enumerate(COURSE)
        for half in (0, 1)
        for coin in ("BTC", "ETH", "SOL")
    ]
    path = tmp_path / "day.csv"
    path.write_text("\n".join(["ts_ms,symbol,price,qty", *rows]) + "\n")
    return path


def test_responsiveness_when_two_policies_are_given_then_side_by_side(day, tmp_path):
    other = tmp_path / "strict.toml"
    text = policy_text(None)
    assert "margin_call = 1.2" in text
    other.write_text(
        text.replace("margin_call = 1.2", "margin_call = 1.45").replace('name = "default"', 'name = "strict"')
    )
    default = tmp_path / "default.toml"
    default.write_text(text)
    asked = (
        "policy",
        "responsiveness",
        str(default),
        str(other),
        "--data",
        str(day),
        "--accounts",
        "60",
        "--every",
        "30",
    )
    one, two = unimargin(*asked, "--json").json
    assert (one["policy"], two["policy"], one["policy_digest"]) == ("default", "strict", parse(text).digest)
    assert (one["accounts"], one["measured"]) == (60, 60)
    for margin in ("initial", "maintenance"):
        # margins are the same, whatever the lines are
        assert one[margin] == two[margin]
        found = one[margin]
        assert D(found["trough"]) < D(found["first"]) < D(found["peak"])
        assert found["peak_to_trough"] == str(D(found["peak_to_trough"]))
        assert [rise["shorter"] for rise in found["rises"]] == [True, True]
        # three coins rise by 20 %, the others stand still
        assert D("0.01") < D(found["rises"][0]["rise"]) < D("0.2")
    assert one["called"] <= two["called"]
    text = unimargin(*asked).out
    for words in ("peak / trough", "strict (USD)", "60 accounts judged", "the recording is shorter"):
        assert words in text


def test_responsiveness_when_the_recording_cannot_be_read_then_one_line(day, tmp_path):
    policy = tmp_path / "p.toml"
    policy.write_text(policy_text(None))
    missing = unimargin("policy", "responsiveness", str(policy), "--data", str(tmp_path / "none.csv"))
    assert (missing.code, "no such file" in missing.err) == (2, True)
    late = unimargin("policy", "responsiveness", str(policy), "--data", str(day), "--from", "2030-01-01")
    assert (late.code, "no row to play" in late.err) == (2, True)
