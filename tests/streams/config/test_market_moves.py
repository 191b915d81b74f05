"""Moves of the market as people write them."""

from decimal import Decimal

import pytest

from streams.config.market_moves import MOVES_MAX, moves_of
from streams.config.settings import SettingsError, load_settings

D = Decimal


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-20,-10,10", ("-0.2", "-0.1", "0.1")),
        (" 10% , -0.5% ", ("-0.005", "0.1")),
        ("-10..10/5", ("-0.1", "-0.05", "0.05", "0.1")),
        ("-10%..-1%/4%", ("-0.1", "-0.06", "-0.02")),
        ("10,10,-5..5/5", ("-0.05", "0.05", "0.1")),
        ("300", ("3",)),
    ],
)
def test_moves_when_well_written_then_ascending_fractions_without_zero(text, wanted):
    assert moves_of(text) == tuple(map(D, wanted))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "x",
        "-100",
        "-150..0/10",
        "10..-10/5",
        "-10..10",
        "-10..10/0",
        "1..9/-1",
        "nan",
        "inf",
        "1e9",
        "0.00001",
    ],
)
def test_moves_when_not_moves_of_a_market_then_refused(text):
    with pytest.raises(ValueError, match=r"percentage|range|fall"):
        moves_of(text)


def test_moves_when_more_than_anybody_reads_then_refused():
    assert len(moves_of(f"1..{MOVES_MAX}/1")) == MOVES_MAX
    for text in (f"1..{MOVES_MAX + 1}/1", "0..1000000/0.0001"):
        with pytest.raises(ValueError, match="at most"):
            moves_of(text)


def test_setting_when_given_as_text_then_moves_or_a_mistake(monkeypatch):
    assert load_settings().heat_map_moves[0] == D("-0.5")
    monkeypatch.setenv("UNIMARGIN_HEAT_MAP_MOVES", "-20..20/10")
    assert load_settings().heat_map_moves == tuple(map(D, ("-0.2", "-0.1", "0.1", "0.2")))
    monkeypatch.setenv("UNIMARGIN_HEAT_MAP_MOVES", "down")
    with pytest.raises(SettingsError, match=r"UNIMARGIN_HEAT_MAP_MOVES: .*'down' is no percentage"):
        load_settings()
