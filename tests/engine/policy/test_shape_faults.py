"""What is wrong with the shape of a policy file: line, table and the nearest key."""

import pytest

from engine.policy import PolicyError, parse
from tests.support.builders import sample_text


def fault(text: str) -> str:
    with pytest.raises(PolicyError) as told:
        parse(text)
    return str(told.value)


def line_of(text: str, words: str) -> int:
    (number,) = [number for number, line in enumerate(text.splitlines(), start=1) if words in line]
    return number


@pytest.mark.parametrize(
    ("old", "new", "nearest", "table"),
    [
        ("[ladder]\n", "[ladder]\nwarnin = 3\n", "warning", "ladder"),
        ("[ladder]\n", "[laddr]\n", "ladder", None),
        ("[assets.USD]\n", "[assets.USD]\nindx = 'X'\n", "index", "assets"),
        ("[assets.USD]\n", "[assets.USD]\ntiers = [\n  { flor = 0, ratio = 1 },\n]\n", "floor", "assets"),
        ("name = ", "nmae = 'x'\nname = ", "name", None),
    ],
)
def test_key_when_unknown_then_its_line_its_table_and_the_nearest(
    old: str, new: str, nearest: str, table: str | None
) -> None:
    text = sample_text().replace(old, new, 1)
    assert text != sample_text()
    said = fault(text)
    word = {"warning": "warnin =", "ladder": "[laddr]", "index": "indx", "floor": "flor =", "name": "nmae"}[
        nearest
    ]
    assert said.startswith(f"line {line_of(text, word)}: ")
    assert said.endswith(f"; did you mean `{nearest}`?")
    if table is not None:
        assert f"$.{table}" in said


def test_key_when_nothing_is_near_then_none_is_offered() -> None:
    said = fault(sample_text().replace("[ladder]\n", "[ladder]\nzzzzqqq = 3\n", 1))
    assert "zzzzqqq" in said
    assert "did you mean" not in said


TIERED = sample_text().replace(
    "[ladder]\n",
    """[[tiers.apart]]
floor = 0
maintenance_rate = 0.01
initial_rate = 0.02

[[tiers.apart]]
floor = 1000
maintenance_rate = 0.02
initial_rate = 0.04

[ladder]
""",
    1,
)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("maintenance_rate = 0.02\ninitial_rate = 0.04", 'maintenance_rate = "x"', "$.tiers.apart[1].maintenance_rate"),
        ("[[tiers.apart]]\nfloor = 0\n", "[[tiers.apart]]\nfloor = 0\nmaintenanc = 1\n", "did you mean `maintenance_rate`?"),
        ("maintenance_rate = 0.02\ninitial_rate = 0.04", "maintenance_rate = 0.05\ninitial_rate = 0.04", "tiers.apart[1]: need 0 < maintenance_rate"),
        ('settle = "USDT"', 'settle = "USDTT"', "'USDTT' is not in assets; did you mean 'USDT'?"),
        ('tiers = "major"', 'tiers = "mjor"', "'mjor' is not in tiers; did you mean 'major'?"),
    ],
)  # fmt: skip
def test_fault_when_in_a_tier_or_a_name_then_line_table_and_nearest(old: str, new: str, words: str) -> None:
    assert old in TIERED
    text = TIERED.replace(old, new, 1)
    before = text.splitlines()
    (line, *_) = [
        at
        for at, (one, other) in enumerate(zip(before, TIERED.splitlines(), strict=False), 1)
        if one != other
    ]
    said = fault(text)
    assert words in said
    if words.startswith("tiers.apart[1]"):
        line -= 2  # the row is named: it begins at its header
    assert said.startswith(f"line {line}: ")


def test_value_when_of_the_wrong_kind_then_its_line() -> None:
    text = sample_text().replace("[ladder]\n", '[ladder]\nwarning = "much"\n', 1)
    text = "\n".join(
        line
        for number, line in enumerate(text.splitlines())
        if not (line.startswith("warning = ") and "much" not in line)
    )
    said = fault(text)
    assert said.startswith(f"line {line_of(text, 'much')}: ")
    assert "$.ladder.warning" in said
