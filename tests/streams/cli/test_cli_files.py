"""Commands that need no server: schemas, policy check, version."""

import json
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from engine.events.effects import AccountRisk, RiskEvent
from engine.events.judgement import judge
from engine.inputs import Mark, MarkBatch, Resume
from streams.config.settings import load_policy
from tests.support.builders import account, deposit, mark, prices, sample, sample_text, trade
from tests.support.cli import unimargin

NAMES = ("fills", "ledger", "prices", "risk-event", "event-headers", "quarantine-headers")


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Draft202012Validator]:
    directory = tmp_path_factory.mktemp("schemas") / "deep" / "er"
    said = unimargin("schemas", "export", str(directory))
    assert said.code == 0, said.err
    read = {name: json.loads((directory / f"{name}.schema.json").read_text()) for name in NAMES}
    for schema in read.values():
        Draft202012Validator.check_schema(schema)
    return {name: Draft202012Validator(schema) for name, schema in read.items()}


def events() -> list[RiskEvent]:
    """A real crash: warning to bankruptcy, with a stale price on the way."""
    policy, risk = sample(), AccountRisk("alice")
    held = account({"USD": 1000}, {"USD-PERP": (10, 1000)}, {"BTC-PERP": (1, 100, 20)})
    said: list[RiskEvent] = []
    for price, stale in ((1000, ()), (960, ()), (955, ("BTC-PERP",)), (950, ()), (890, ())):
        view = prices({"USD-PERP": price, "BTC-PERP": price / 10, "USDT-USD": 1}, stale)
        judged = judge(held, risk, view, price, policy)
        risk, said = judged.risk, [*said, *judged.events]
    return said


MESSAGES = [
    ("fills", trade("BTC-PERP", "-0.5", "64000.1", fee="0.1", account_seq=3)),
    ("fills", Resume(account="alice", entry_id="r", time_ns=0, reason="repaired", next_account_seq=4)),
    ("ledger", deposit("12.50")),
    ("prices", mark("BTC-PERP", "64000.1")),
    ("prices", MarkBatch((mark("BTC-PERP", "64000.1"), Mark("ETH-PERP", mark("x", 1).price, 2, 3)))),
    *(("risk-event", event) for event in events()),
]


def test_the_example_crash_then_says_many_kinds_of_events() -> None:
    assert len({event.type for event in events()}) >= 6


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_schema_when_given_a_real_message_then_valid(
    schemas: dict[str, Draft202012Validator], name: str, message: msgspec.Struct
) -> None:
    schemas[name].validate(json.loads(msgspec.json.encode(message)))


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_schema_when_a_field_is_missing_then_invalid(
    schemas: dict[str, Draft202012Validator], name: str, message: msgspec.Struct
) -> None:
    data = json.loads(msgspec.json.encode(message))
    del data["type"]
    with pytest.raises(ValidationError):
        schemas[name].validate(data)


def test_schemas_when_exported_again_then_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for directory in (tmp_path / "one", tmp_path / "two"):
        said = unimargin("schemas", "export", str(directory))
        assert said.out.split() == [str(directory / f"{name}.schema.json") for name in NAMES]
        texts.append([path.read_bytes() for path in sorted(directory.iterdir())])
    assert texts[0] == texts[1]


def test_schemas_when_the_directory_is_a_file_then_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    said = unimargin("schemas", "export", str(file))
    assert said.code == 2
    assert str(file) in said.err


def test_policy_check_when_valid_then_name_digest_and_sizes(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(sample_text())
    facts = {
        "name": "sample",
        "digest": sample().digest,
        "account_currency": "USD",
        "instruments": 5,
        "assets": 3,
        "price_symbols": 6,  # USDT-USD, BTC-USD and four perpetuals; a spot pair has no price of its own
    }
    assert facts.items() <= unimargin("policy", "check", str(file), "--json").json.items()
    shown = unimargin("policy", "check", str(file))
    assert (shown.code, shown.err) == (0, "")
    assert sample().digest in shown.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not valid TOML"),
        (sample_text(('name = "sample"', 'nome = "sample"')), "nome"),
        (sample_text(("floor = 0, ratio = 0.95", "floor = 1, ratio = 0.95")), "assets.BTC.tiers"),
        (sample_text(('settle = "USDT"', 'settle = "EUR"')), "instruments.BTC-USDT.settle"),
    ],
)
def test_policy_check_when_a_rule_is_broken_then_key_and_file(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    said = unimargin("policy", "check", str(file))
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert str(file) in said.err


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe")])
def test_policy_check_when_no_text_file_then_named(tmp_path: Path, make: object) -> None:
    make(tmp_path / "policy.toml")
    said = unimargin("policy", "check", str(tmp_path / "policy.toml"))
    assert said.code == 2
    assert str(tmp_path / "policy.toml") in said.err


def test_shipped_policy_then_found_without_a_setting() -> None:
    assert load_policy(None).name == "default"


def test_version_then_that_of_the_package() -> None:
    assert unimargin("--version").out == f"unimargin {version('unimargin')}\n"
