"""`unimargin policy`: what check shows, and what import writes."""

import json
from pathlib import Path

import pytest

from engine.policy import parse
from streams.cli.policy.policy_rows import tier_rows
from streams.cli.policy.policy_sample import sample_account
from tests.support.builders import sample, sample_text
from tests.support.cli import unimargin

BRACKETS = [
    {
        "symbol": "BTCUSDT",
        "brackets": [
            {"initialLeverage": 125, "notionalFloor": 0, "maintMarginRatio": 0.004, "cum": 0.0},
            {"initialLeverage": 100, "notionalFloor": 50000, "maintMarginRatio": 0.005, "cum": 50.0},
        ],
    }
]
INFO = {
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "contractType": "PERPETUAL",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.1"},
                {"filterType": "LOT_SIZE", "stepSize": "0.001"},
            ],
        }
    ]
}
FLAT = (
    ('tiers = "major"\n', 'tiers = "major"\nmargin = "flat"\n'),
    (
        "[assets.USD]\n",
        '[margin.flat]\ntiering = "flat"\n\n[assets.USD]\n',
    ),
)


@pytest.fixture
def brackets(tmp_path: Path) -> Path:
    file = tmp_path / "brackets.json"
    file.write_text(json.dumps(BRACKETS))
    return file


@pytest.fixture
def info(tmp_path: Path) -> Path:
    file = tmp_path / "info.json"
    file.write_text(json.dumps(INFO))
    return file


def checked(tmp_path: Path, text: str, *words: str) -> object:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    said = unimargin("policy", "check", str(file), *words)
    assert (said.code, said.err) == (0, "")
    return said


def test_check_then_tiers_with_deductions_and_continuity(tmp_path: Path) -> None:
    rows = checked(tmp_path, sample_text(), "--json").json["tiers"]
    assert [row["floor"] for row in rows] == ["0", "1000000", "5000000"]
    # 1M * (0.1 - 0.05) = 50,000;  50,000 + 5M * (0.25 - 0.1) = 800,000
    assert [row["deduction"] for row in rows] == ["0", "50000", "800000"]
    assert {row["jump"] for row in rows} == {"0"}
    assert {row["tiering"] for row in rows} == {"marginal"}
    shown = checked(tmp_path, sample_text()).out
    assert "continuous" in shown
    assert "800,000" in shown


def test_check_when_tiers_are_flat_then_the_jump_is_told(tmp_path: Path) -> None:
    text = sample_text(*FLAT)
    flat = [row for row in tier_rows(parse(text)) if row.tiering == "flat"]
    # at 1M the whole takes 0.1 instead of 0.05; at 5M 0.25 instead of 0.1
    assert [(row.jump, row.deduction) for row in flat] == [(0, None), (50_000, None), (750_000, None)]
    assert "jumps by 750,000" in checked(tmp_path, text).out


def test_check_when_a_fully_used_account_would_be_born_in_warning_then_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(sample_text(("warning = 1.5", "warning = 2.5")))
    said = unimargin("policy", "check", str(file))
    assert said.code == 2
    # tiers of 10 % initial and 5 % maintenance margin
    assert "born below it (2.5): IM is 2 times what is required in" in " ".join(said.err.split())


def test_check_then_collateral_tiers(tmp_path: Path) -> None:
    rows = checked(tmp_path, sample_text(), "--json").json["collateral"]
    bitcoin = [row for row in rows if row["asset"] == "BTC"]
    assert [(row["floor"], row["ratio"]) for row in bitcoin] == [
        ("0", "0.95"),
        ("100", "0.9"),
        ("500", "0.8"),
    ]
    assert {row["liability_factor"] for row in bitcoin} == {"1.05"}
    assert {row["counted_by"] for row in bitcoin} == {"amount"}


def test_check_then_what_a_sample_account_would_need() -> None:
    account = sample_account(sample())
    by_symbol = {it.symbol: it for it in account.positions}
    bitcoin = by_symbol["BTC-PERP"]
    # 50,000 USD at 100,000; 10x by default; tier rate 5 %
    assert (bitcoin.quantity, bitcoin.notional) == (0.5, 50_000)
    assert (bitcoin.initial_margin, bitcoin.maintenance_margin) == (5_000, 2_500)
    # 5,000 of each of USDT, BTC and whatever else settles; BTC counts 95 %
    assert account.deposits["BTC"] * 100_000 == 5_000
    assert account.equity - account.collateral_value == 250
    assert account.ratio is not None
    assert account.band.value == "healthy"


def test_check_when_imported_brackets_then_it_loads(tmp_path: Path, brackets: Path) -> None:
    said = unimargin("policy", "import", "binance-brackets", str(brackets))
    assert (said.code, said.err) == (0, "")
    assert checked(tmp_path, said.out, "--json").json["instruments"] == 1


def test_import_filters_when_given_brackets_then_a_whole_policy(info: Path, brackets: Path) -> None:
    said = unimargin("policy", "import", "instrument-filters", str(info), "--brackets", str(brackets))
    assert (said.code, said.err) == (0, "")
    instrument = parse(said.out).instruments["BTCUSDT"]
    assert (str(instrument.quantity_step), str(instrument.price_step)) == ("0.001", "0.1")


def test_import_filters_when_alone_then_it_says_what_is_missing(info: Path) -> None:
    said = unimargin("policy", "import", "instrument-filters", str(info))
    assert said.code == 0
    assert "# No tier tables" in said.out


@pytest.mark.parametrize("command", ["binance-brackets", "instrument-filters"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.write_text("[1]"), "not in a shape"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda file: file.mkdir(), "directory"),
        (lambda _: None, "No such file"),
    ],
)
def test_import_when_the_file_is_bad_then_named_with_code_2(
    tmp_path: Path, command: str, make: object, words: str
) -> None:
    file = tmp_path / "input.json"
    make(file)
    said = unimargin("policy", "import", command, str(file))
    assert (said.code, said.out) == (2, "")
    assert str(file) in said.err
    assert words in said.err


def test_import_files_when_a_row_is_bad_then_told_on_standard_error_and_the_rest_is_a_policy(
    tmp_path: Path, info: Path
) -> None:
    file = tmp_path / "tiers.json"
    file.write_text(json.dumps([*BRACKETS, {"symbol": "XEUR", "brackets": BRACKETS[0]["brackets"]}]))
    said = unimargin("policy", "import", "files", str(info), str(file), "--name", "mine")
    assert said.code == 0
    assert said.err == "left out: XEUR: which part is the quote asset?\n"
    assert parse(said.out).name == "mine"


def test_import_files_when_the_name_has_quotes_then_it_is_the_policys(tmp_path: Path) -> None:
    bracket = {"notionalFloor": 0, "initialLeverage": 50, "maintMarginRatio": 0.01, "cum": 0}
    file = tmp_path / "brackets.json"
    file.write_text(json.dumps([{"symbol": "AUSDT", "brackets": [bracket]}]))
    said = unimargin("policy", "import", "files", str(file), "--name", 'the "new" one')
    assert parse(said.out).name == 'the "new" one'


def test_import_files_when_the_venue_answered_with_an_error_then_told_with_code_2(tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_text('{"code": -2015, "msg": "Invalid API-key"}')
    said = unimargin("policy", "import", "files", str(file))
    assert (said.code, said.out) == (2, "")
    assert f"{file}: the venue answered with an error and no data: -2015: Invalid API-key" in said.err


@pytest.mark.parametrize("word", ["BTC-USDT", "BTC-USDT=dear", "=5", "BTC-USDT=-1", "BTC-USDT=NaN"])
def test_import_files_when_a_price_is_none_then_told_with_code_2(info: Path, word: str) -> None:
    said = unimargin("policy", "import", "files", str(info), "--price", word)
    assert (said.code, said.out) == (2, "")
    assert "--price" in said.err


def test_list_then_every_policy_that_ships_with_what_it_is_about() -> None:
    rows = {it["name"]: it for it in unimargin("policy", "list", "--json").json}
    folder = Path(__file__).parents[3] / "deploy" / "policies"
    assert set(rows) == {file.stem for file in folder.glob("*.toml")}
    assert all(len(it["about"]) > 20 for it in rows.values())
    assert rows["default"]["digest"] == parse((folder / "default.toml").read_text("utf-8")).digest
    assert "okx-portfolio" in unimargin("policy", "list").out


@pytest.mark.parametrize("command", ["show", "init"])
def test_policy_when_none_of_that_name_ships_then_the_nearest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = unimargin("policy", command, "../default")
    assert (said.code, said.out) == (2, "")
    assert "no policy '../default' ships; did you mean default" in said.err
    assert "okx-portfolio" in said.err
    assert list(tmp_path.iterdir()) == []


def test_init_then_a_file_to_start_from_and_never_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = unimargin("policy", "init", "default")
    assert said.code == 0
    assert "unimargin policy check default.toml" in said.out
    assert (tmp_path / "default.toml").read_text() == unimargin("policy", "show", "default").out
    (tmp_path / "default.toml").write_text("mine")
    again = unimargin("policy", "init", "default")
    assert again.code == 2
    assert "default.toml is there already" in again.err
    assert (tmp_path / "default.toml").read_text() == "mine"
    assert unimargin("policy", "init", "default", "--force").code == 0
    missing = unimargin("policy", "init", "default", "--out", "no/such/place.toml")
    assert (missing.code, "no/such/place.toml: No such file" in missing.err) == (2, True)
