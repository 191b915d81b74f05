"""Recordings through the commands that play them: what the options say arrives, and what is left out is told."""

import json
from pathlib import Path

import pytest

from streams.cli.simulate.recording_options import reading_of, words_of
from streams.config.settings import SettingsError
from streams.demo.demo_options import DemoOptions
from tests.support.cli import Said, unimargin

OPTIONS = ("--map", "FOO=BTC-USDT-PERP", "--columns", "time=when,symbol=what,price=level")
COMMANDS = {
    "scenario": ("scenario", "from-recording", "FILE", "--json"),
    "replay": ("replay", "--data", "FILE", "--accounts", "5", "--json"),
    "simulate": ("simulate", "--offline", "--data", "FILE", "--accounts", "20", "--seconds", "20", "--json"),
    "responsiveness": ("policy", "responsiveness", "POLICY", "--data", "FILE", "--accounts", "20", "--json"),
}
POLICY = Path(__file__).parents[3] / "deploy" / "policies" / "default.toml"


def played(file: Path, command: str, *options: str) -> Said:
    words = [{"FILE": str(file), "POLICY": str(POLICY)}.get(word, word) for word in COMMANDS[command]]
    return unimargin(*words, *options)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A recording in no format that is known, with a symbol that no policy has, and a row without a price."""
    rows = [f"2025-10-10 21:00:{i:02};FOO;{60_000 - 100 * i}" for i in range(40)]
    file = tmp_path / "odd.csv"
    file.write_text(
        "\ufeffwhen;what;level\r\n"
        + "\r\n".join([*rows[:20], "2025-10-10 21:00:20;FOO;", *rows[20:]])
        + "\r\n\r\n"
    )
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_recording_when_the_options_say_how_then_every_command_plays_it(odd: Path, command: str) -> None:
    said = played(odd, command, *OPTIONS)
    assert said.code == 0, said.err
    assert json.loads(said.out)
    assert "1 rows left out: no price (the first in line 22)" in said.err + said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_recording_when_nothing_says_how_then_what_is_read_is_told_with_code_2(
    odd: Path, command: str
) -> None:
    said = played(odd, command)
    assert (said.code, said.out) == (2, "")
    assert "line 1: the header 'when,what,level' is none of" in said.err
    unmapped = played(odd, command, *OPTIONS[2:])
    assert (unmapped.code, unmapped.out) == (2, "")
    assert "symbols not priced: FOO" in unmapped.err
    assert "--map FROM=TO" in unmapped.err


@pytest.mark.parametrize(
    "options",
    [
        ("--map", "FOO"),
        ("--map", "=BTC"),
        ("--map", "FOO=NOPE", *OPTIONS[2:]),
        ("--map", "FOO=BTC", "--map", "FOO=ETH"),
        ("--columns", "when"),
        ("--columns", "moment=when"),
        ("--columns", "time=when,price=level,open=level"),
        ("--columns", "time=when,price=nothing"),
        ("--columns", "time=when,price=level"),
    ],
)
def test_options_when_they_say_nothing_then_told_with_code_2(odd: Path, options: tuple[str, ...]) -> None:
    said = played(odd, "scenario", *options)
    assert (said.code, said.out) == (2, "")
    assert "--" in said.err


def test_demo_when_told_how_to_read_then_its_exchange_is_told_the_same() -> None:
    said = (["A=B", "C=D"], "BTCUSDT", "time=1,price=2")
    options = DemoOptions(
        seconds=None,
        accounts=5,
        seed=1,
        ticks_per_second=10.0,
        fills_per_second=1.0,
        scenario="calm",
        data=Path("/rows.csv"),
        speed="max",
        from_time=None,
        to_time=None,
        reading=words_of(*said),
        workers=1,
        kafka=None,
        redis=None,
        keep=False,
        board=False,
    )
    words = options.exchange_arguments()
    assert words[-8:] == [
        "--map",
        "A=B",
        "--map",
        "C=D",
        "--symbol",
        "BTCUSDT",
        "--columns",
        "time=1,price=2",
    ]
    assert reading_of(*said).renamed == {"A": "B", "C": "D"}
    with pytest.raises(SettingsError, match="A is B already"):
        reading_of(["A=B", "A=C"], None, None)
