import difflib
import re
import tomllib
from decimal import Decimal

import msgspec
import pytest

from engine.policy import MarginRules, Policy, PolicyError, parse
from engine.policy.rules.policy_switches import HedgeLegs, InitialRule, InstrumentKind
from tests.support.builders import sample, sample_text

D = Decimal


def test_parse_when_given_the_shipped_default_then_it_loads(default_policy):
    assert default_policy.name == "default"
    assert default_policy.instruments["BTC-USDT-PERP"].tiers == "major"


def test_parse_when_all_names_are_listed_then_nobody_looks_for_nearer_ones(monkeypatch):
    """Of a venue's hundreds of contracts that would take seconds."""
    monkeypatch.setattr(
        difflib, "get_close_matches", lambda *_: pytest.fail("what is listed has no nearer name")
    )
    assert parse(sample_text()) == sample()


def test_parse_when_a_decimal_has_no_binary_form_then_it_is_read_as_written():
    policy = sample(("exit_band = 0.02", "exit_band = 0.1"))
    assert policy.ladder.exit_band == D("0.1")
    assert policy.ladder.exit_band * 3 == D("0.3")  # a float would say 0.30000000000000004


def test_deductions_when_computed_then_each_joins_its_tier_to_the_one_below(policy):
    # d1 = 0; d2 = d1 + 1,000,000 * (0.10 - 0.05); d3 = d2 + 5,000,000 * (0.25 - 0.10)
    assert policy.deductions["major"] == (D(0), D(50_000), D(50_000) + D(750_000))


def test_price_symbols_when_listed_then_every_index_and_contract_but_no_spot_pair(policy):
    assert set(policy.price_symbols) == {
        "USDT-USD",
        "BTC-USD",
        "BTC-PERP",
        "ETH-PERP",
        "ADA-PERP",
        "USD-PERP",
    }


def test_price_symbols_when_an_instrument_overrides_the_check_then_only_its_own_differs():
    policy = sample(
        ("[instruments.ETH-PERP]", "[instruments.ETH-PERP]\nprice = { stale_after_seconds = 99 }")
    )
    assert policy.price_symbols["ETH-PERP"].stale_after_seconds == D(99)
    assert policy.price_symbols["BTC-PERP"].stale_after_seconds == D(10)


BROKEN = [
    # account and assets
    ('account_currency = "USD"', 'account_currency = "EUR"', "account_currency"),
    ("[assets.USD]", '[assets.USD]\nindex = "USD-USD"', "assets.USD.index"),
    ('index = "USDT-USD"', "", "assets.USDT.index"),
    ("liability_factor = 1.05", "liability_factor = 0.99", "assets.BTC.liability_factor"),
    ("liability_factor = 1.05", "liability_factor = inf", "assets.BTC.liability_factor"),
    ("{ floor = 0, ratio = 0.95 }", "{ floor = 1, ratio = 0.95 }", "assets.BTC.tiers"),
    ("{ floor = 100, ratio", "{ floor = 0, ratio", "assets.BTC.tiers"),
    ("{ floor = 100, ratio", "{ floor = 600, ratio", "assets.BTC.tiers"),
    ("{ floor = 500, ratio", "{ floor = inf, ratio", "assets.BTC.tiers.2.floor"),
    ("ratio = 0.95", "ratio = 1.01", "assets.BTC.tiers"),
    ("ratio = 0.8", "ratio = -0.1", "assets.BTC.tiers"),
    ("ratio = 0.8", "ratio = nan", "assets.BTC.tiers.2.ratio"),
    ("ratio = 0.8", "ratio = 0.91", "assets.BTC.tiers"),  # more value per coin for more coins
    ("liability_factor = 1.05", "step = 0", "assets.BTC.step"),
    # tiers
    ("floor = 0\nmaintenance_rate = 0.05", "floor = 1\nmaintenance_rate = 0.05", "tiers.major"),
    ("floor = 5000000", "floor = 1000000", "tiers.major"),
    ("maintenance_rate = 0.05", "maintenance_rate = 0", "tiers.major[0]"),
    ("maintenance_rate = 0.05", "maintenance_rate = 0.11", "tiers.major[0]"),  # above its initial rate
    ("initial_rate = 0.5", "initial_rate = 1.1", "tiers.major[2]"),
    ("initial_rate = 0.5", "initial_rate = nan", "tiers.major.2.initial_rate"),
    ("maintenance_rate = 0.25", "maintenance_rate = 0.09", "tiers.major"),  # falls with the notional
    # instruments
    ('base = "BTC"\nsettle = "USDT"', 'base = "DOGE"\nsettle = "USDT"', "instruments.BTC-USDT.base"),
    ('base = "ETH"\nsettle = "USDT"', 'base = "ETH"\nsettle = "DOGE"', "instruments.ETH-PERP.settle"),
    ("multiplier = 10", "multiplier = 0", "instruments.ADA-PERP.multiplier"),
    ("multiplier = 10", "multiplier = -1", "instruments.ADA-PERP.multiplier"),
    ("multiplier = 10", "multiplier = 1e30", "instruments.ADA-PERP.multiplier"),
    ('multiplier = 10\ntiers = "major"', "multiplier = 10", "instruments.ADA-PERP.tiers"),
    ('multiplier = 10\ntiers = "major"', 'tiers = "minor"', "instruments.ADA-PERP.tiers"),
    ("multiplier = 10", "price = { jump_fraction = 0 }", "instruments.ADA-PERP.price.jump_fraction"),
    ("[instruments.ADA-PERP]", '[instruments.""]', "instruments"),
    # prices
    ("stale_after_seconds = 10", "stale_after_seconds = 0", "prices.stale_after_seconds"),
    ("stale_after_seconds = 10", "stale_after_seconds = inf", "prices.stale_after_seconds"),
    ("future_tolerance_seconds = 2", "future_tolerance_seconds = -1", "prices.future_tolerance_seconds"),
    ("jump_fraction = 0.1", "jump_fraction = 0", "prices.jump_fraction"),
    ("jump_confirmations = 3", "jump_confirmations = 0", "prices.jump_confirmations"),
    # ladder
    ("warning = 1.5", "warning = 1.2", "ladder"),
    ("margin_call = 1.2", "margin_call = 1.05", "ladder"),
    ("reduce_only = 1.05", "reduce_only = 1.0", "ladder"),
    ("liquidation = 1.0", "liquidation = 0", "ladder"),
    ("warning = 1.5", "warning = inf", "ladder.warning"),
    ("exit_band = 0.02", "exit_band = -0.01", "ladder.exit_band"),
    ("exit_hold_seconds = 5", "exit_hold_seconds = -1", "ladder.exit_hold_seconds"),
    # deleveraging
    ("[ladder]", "[deleveraging]\nsoon_fund_share = 0\n[ladder]", "deleveraging.soon_fund_share"),
    ("[ladder]", "[deleveraging]\nactive_fund_share = 0.29\n[ladder]", "deleveraging.active_fund_share"),
    ("[ladder]", "[deleveraging]\nrisk_exit_band = 0.3\n[ladder]", "deleveraging.risk_exit_band"),
    ("[ladder]", "[deleveraging]\nrisk_exit_band = -0.01\n[ladder]", "deleveraging.risk_exit_band"),
    ("[ladder]", "[deleveraging]\nrisk_hold_seconds = -1\n[ladder]", "deleveraging.risk_hold_seconds"),
    # stress
    ("[ladder]", "[stress.betas]\nETH = -0.1\n[ladder]", "stress.betas.ETH"),
    ("[ladder]", "[stress.betas]\nDOGE = 1\n[ladder]", "stress.betas.DOGE"),
    ("[ladder]", "[stress.betas]\nUSD = 1\n[ladder]", "stress.betas.USD"),
    ("[ladder]", "[stress]\nbeta_default = 11\n[ladder]", "stress.beta_default"),
]


@pytest.mark.parametrize(("good", "bad", "key"), BROKEN)
def test_parse_when_a_rule_is_broken_then_the_error_names_the_key(good, bad, key):
    with pytest.raises(PolicyError) as caught:
        sample((good, bad))
    assert re.match(rf"(line \d+: )?{re.escape(key)}: ", str(caught.value))


def test_parse_when_leverage_default_is_below_one_then_the_error_names_it():
    with pytest.raises(PolicyError, match=r"^line \d+: leverage_default: "):
        sample(('name = "sample"', 'name = "sample"\nleverage_default = 0.5'))


@pytest.mark.parametrize(
    "place",
    [
        'name = "sample"',
        "[prices]",
        "[ladder]",
        "[assets.BTC]",
        "[[tiers.major]]",
        "[instruments.BTC-PERP]",
    ],
)
def test_parse_when_a_table_has_an_unknown_key_then_it_is_refused_by_name(place):
    with pytest.raises(PolicyError, match="surprise"):
        sample((place, f"{place}\nsurprise = 1"))


def test_parse_when_an_inline_table_has_an_unknown_key_then_it_is_refused_by_name():
    with pytest.raises(PolicyError, match="surprise"):
        sample(("ratio = 0.95", "ratio = 0.95, surprise = 1"))


@pytest.mark.parametrize(
    ("good", "bad", "where"),
    [
        ("warning = 1.5", "warning = true", "ladder.warning"),
        ("jump_confirmations = 3", "jump_confirmations = 2.5", "jump_confirmations"),
        ('kind = "spot"', 'kind = "swap"', "kind"),
        ('base = "BTC"', "base = 1", "base"),
    ],
)
def test_parse_when_a_value_has_the_wrong_type_then_the_error_says_where(good, bad, where):
    with pytest.raises(PolicyError) as caught:
        sample((good, bad))
    assert where in str(caught.value)


def test_parse_when_a_required_key_is_missing_then_the_error_names_it():
    with pytest.raises(PolicyError, match="name"):
        sample(('name = "sample"', ""))


@pytest.mark.parametrize("text", ["name = ", "[assets", 'name = "a"\nname = "b"'])
def test_parse_when_the_text_is_no_toml_then_a_policy_error(text):
    with pytest.raises(PolicyError, match="not valid TOML"):
        parse(text)


def numbers_of(node, path=()):
    """Every number of a TOML document, by path."""
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in numbers_of(value, (*path, key))]
    if isinstance(node, list):
        return [found for i, value in enumerate(node) for found in numbers_of(value, (*path, i))]
    return [path] if isinstance(node, int | Decimal) and not isinstance(node, bool) else []


def changed_at(document, path):
    """The TOML values with the number at `path` a little smaller (or larger, from zero)."""
    copy = tomllib.loads(document, parse_float=Decimal)
    node = copy
    for key in path[:-1]:
        node = node[key]
    was = node[path[-1]]
    node[path[-1]] = was + 1 if isinstance(was, int) else was * D("0.999")
    return copy


NUMBERS = numbers_of(tomllib.loads(sample_text(), parse_float=Decimal))


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: ".".join(map(str, path)))
def test_digest_when_one_number_changes_then_it_changes(policy, path):
    other = msgspec.convert(changed_at(sample_text(), path), Policy)
    assert other.digest != policy.digest


def test_digest_when_comments_and_order_of_keys_change_then_it_stays(policy):
    reordered = sample(
        ('name = "sample"\naccount_currency = "USD"', '# hello\naccount_currency = "USD"\nname = "sample"'),
        ("warning = 1.5\nmargin_call = 1.2", "margin_call = 1.2 # a line\nwarning = 1.5"),
        ("[assets.USD]\n", ""),
        ("[instruments.BTC-USDT]", "[assets.USD]\n\n[instruments.BTC-USDT]"),
    )
    assert reordered.digest == policy.digest


def test_digest_when_a_default_is_written_out_then_it_stays(policy):
    assert sample(('name = "sample"', 'name = "sample"\nleverage_default = 10')).digest == policy.digest


def test_switch_when_built_from_text_then_its_member_and_nothing_else(policy):
    built = MarginRules(initial="leverage", hedge_legs=HedgeLegs.NET)
    assert built.initial is InitialRule.LEVERAGE
    assert built == MarginRules(initial=InitialRule.LEVERAGE, hedge_legs="net")
    assert policy.instruments["BTC-PERP"].kind is InstrumentKind.PERPETUAL
    moved = msgspec.structs.replace(built, initial="tier")
    assert moved.initial is InitialRule.TIER
    with pytest.raises(ValueError, match="'levrage' is not a valid InitialRule"):
        MarginRules(initial="levrage")


def test_digest_when_a_switch_is_built_from_text_then_the_same(policy):
    kinds = {symbol: str(it.kind) for symbol, it in policy.instruments.items()}
    replace = msgspec.structs.replace
    listed = {symbol: replace(it, kind=kinds[symbol]) for symbol, it in policy.instruments.items()}
    assert replace(policy, instruments=listed).digest == policy.digest
