"""The policies that ship: each loads, says where its numbers come from, and gives the venue's published figures."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.analytics.full_use import born_below
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.margin import exact_arithmetic
from engine.margin.collateral import collateral_value
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figures import Figures
from engine.margin.position_margin import PositionMargin
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy, parse
from streams.cli.policy.policy_sample import sample_account

FOLDER = Path(__file__).parents[2] / "deploy" / "policies"
FILES = sorted(FOLDER.glob("*.toml"))
VENUES = [file for file in FILES if file.stem != "default"]


def policy(name: str) -> Policy:
    return parse((FOLDER / f"{name}.toml").read_text("utf-8"))


def account(
    rules: Policy, contracts: dict[str, object], wallet: dict[str, object] | None = None
) -> AccountState:
    """Positions opened at price 1 and a wallet: margins do not depend on the entry."""
    positions = {
        symbol: Position(Decimal(str(size)), rules.instruments[symbol].value(Decimal(str(size)), Decimal(1)))
        for symbol, size in contracts.items()
    }
    balances = {asset: Decimal(str(coins)) for asset, coins in (wallet or {}).items()}
    return AccountState(account="a", positions=positions, balances=balances)


def at(rules: Policy, **prices: object) -> Prices:
    """Every price symbol at 1, but for those given (written with _ for -)."""
    given = {symbol.replace("__", "-"): Decimal(str(price)) for symbol, price in prices.items()}
    marks = {
        symbol: Mark(symbol=symbol, price=given.get(symbol, Decimal(1)), sequence=1, time_ns=0)
        for symbol in rules.price_symbols
    }
    assert given.keys() <= marks.keys()
    return Prices(marks=marks, stale=frozenset())


def position(
    name: str, symbol: str, size: object, mark: object, leverage: int | None = None
) -> PositionMargin:
    """Margin of one position by itself."""
    rules = policy(name)
    state = account(rules, {symbol: size})
    if leverage is not None:
        state = AccountState(account="a", positions=state.positions, leverage={symbol: Decimal(leverage)})
    with exact():
        (held,), _ = cross_positions(state, at(rules, **{symbol.replace("-", "__"): mark}), rules)
    return held


def collateral(name: str, asset: str, coins: object, price: object = 1) -> Decimal:
    listed, amount, at_price = policy(name).asset_terms[asset], Decimal(str(coins)), Decimal(str(price))
    with exact():
        return collateral_value(listed, amount, at_price, at_price, exact_arithmetic, pledged=True)


@pytest.mark.parametrize("file", VENUES, ids=lambda file: file.stem)
def test_venue_policy_then_it_loads_and_says_what_is_published_and_what_is_a_sample(file: Path) -> None:
    text = file.read_text("utf-8")
    rules = parse(text)
    comment = text[: text.index("\nname = ")]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert all(word in comment for word in ("# Sources", "# Published:", "# Samples:"))
    assert rules.name == file.stem
    assert rules.sources
    assert all(source.startswith("https://") for source in rules.sources)


def test_venue_policies_then_all_fourteen() -> None:
    assert len(VENUES) == 14


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_policy_when_an_account_uses_all_its_margin_then_it_is_healthy(file: Path) -> None:
    assert born_below(parse(file.read_text("utf-8"))) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_policy_when_given_a_sample_account_then_figures_without_a_missing_price(file: Path) -> None:
    rules = parse(file.read_text("utf-8"))
    sample = sample_account(rules)
    assert sample.positions
    assert 0 < sample.maintenance_margin <= sample.initial_margin
    assert sample.ratio is not None
    assert sample.ratio > 1  # the deposits are meant to carry the positions


def test_binance_usdm_when_one_btc_then_its_bracket() -> None:
    held = position("binance-usdm", "BTCUSDT", 1, 100_000, leverage=125)
    assert held.maintenance_margin == 450  # 100,000 * 0.5 % - 50
    assert held.initial_margin == 1000  # tier 2 allows 100x: 1 %


def test_binance_usdm_when_the_sample_account_then_the_pools_liquidation_price() -> None:
    bitcoin, ether, coin = sample_account(policy("binance-usdm")).positions
    assert (bitcoin.symbol, bitcoin.quantity, bitcoin.mark) == ("BTCUSDT", Decimal("0.5"), 100_000)
    assert ether.maintenance_margin is not None
    assert coin.maintenance_margin is not None
    others = ether.maintenance_margin + coin.maintenance_margin
    # 5,000 + 0.5 * (p - 100,000) = 0.4 % * 0.5 * p + MM of the others, so p = (45,000 + others) / 0.498
    exactly = (45_000 + others) / Decimal("0.498")
    assert bitcoin.liquidation_price is not None
    assert 0 <= bitcoin.liquidation_price - exactly < Decimal("0.1")  # up to the tick: a long is never late
    assert ether.liquidation_price is not None
    assert ether.liquidation_price > ether.mark  # a short


def test_binance_coinm_then_the_published_maintenance_amounts() -> None:
    rules = policy("binance-coinm")
    amounts = dict(
        zip([tier.floor for tier in rules.tiers["BTCUSD"]], rules.deductions["BTCUSD"], strict=True)
    )
    assert (amounts[30], amounts[50], amounts[200]) == (Decimal("0.56"), Decimal("1.81"), Decimal("11.81"))


def test_binance_multi_assets_then_haircuts_and_margins_at_the_ask_rate() -> None:
    assert collateral("binance-multi-assets", "BNB", 1, 1000) == 950
    assert collateral("binance-multi-assets", "ADA", 1000) == 900
    rules = policy("binance-multi-assets")
    state = account(rules, {"BTCUSDT": 1}, {"USDT": 1_000_000})
    figures = pool_figures(state, CROSS, at(rules, BTCUSDT=100_000), rules)
    assert figures.maintenance_margin == Decimal("450.045")  # (100,000 * 0.5 % - 50) USDT * 1.0001


def test_binance_portfolio_when_a_loan_then_it_is_margined() -> None:
    rules = policy("binance-portfolio")
    state = account(rules, {}, {"USDT": -40_000, "BTC": 1})
    figures = pool_figures(state, CROSS, at(rules, BTC__USD=100_000), rules)
    assert figures.collateral_value == 55_000  # 1 * 100,000 * 95 % - 40,000
    assert figures.initial_margin == 10_000  # 40,000 / (5 - 1)
    assert figures.maintenance_margin == 2_000  # 40,000 * 5 %


def test_bybit_cross_then_tiered_collateral_and_closing_fee() -> None:
    # 10 * 0.98 + 10 * 0.95 + 10 * 0.9 + 10 * 0.85 + 10 * 0.8, nothing beyond 50
    assert collateral("bybit-uta-cross", "BTC", 60) == Decimal("44.8")
    held = position("bybit-uta-cross", "BTCUSDT", 1, 100_000)
    # 100,000 * 0.33 % + 100,000 * (1 - 1/10) * 0.055 %
    assert held.maintenance_margin == Decimal("379.5")
    assert held.initial_margin == Decimal("10049.5")  # 100,000 / 10 + the same fee


def test_bybit_cross_when_a_short_call_then_the_help_centers_example() -> None:
    rules = policy("bybit-uta-cross")
    symbol = "BTC-26MAR27-100000-C-USDT"
    prices = at(rules, **{"BTC__USD": 30_000, symbol.replace("-", "__"): 300})
    state = account(rules, {symbol: -1}, {"USDT": 100_000})
    figures = pool_figures(state, CROSS, prices, rules)
    # max(3 % * 30,000, 3 % * 300) + 300 + 0.2 % * 30,000
    assert figures.maintenance_margin == 1260


def test_okx_multi_currency_then_discounts_and_flat_tiers() -> None:
    assert collateral("okx-multi-currency", "USDT", 11_000_000) == 10_825_000  # 5M + 5M * 0.975 + 1M * 0.95
    assert collateral("okx-multi-currency", "BTC", 25) == Decimal("24.4875")  # 20 * 0.98 + 5 * 0.9775
    held = position("okx-multi-currency", "ADA-USDT-SWAP", 2000, 1)
    assert held.maintenance_margin == 1500  # 200,000 * 0.75 %, the whole of it


def test_okx_portfolio_then_the_position_builders_btc_unit() -> None:
    rules = policy("okx-portfolio")
    prices = at(rules, BTC__USDT__SWAP="97093.7", USDT__USD="0.99954", BTC__USD="97034.24370599994")
    state = account(rules, {"BTC-USDT-SWAP": -10}, {"USDT": 100_000})
    figures: Figures = pool_figures(state, CROSS, prices, rules)
    # MR1 12 % of the index delta + MR4 0.2 % of the mark delta
    assert figures.maintenance_margin == pytest.approx(Decimal("1183.8207318516002"), abs=Decimal("1e-9"))
    assert figures.initial_margin == pytest.approx(Decimal("1538.9669514070802"), abs=Decimal("1e-9"))


@pytest.mark.parametrize(
    ("symbol", "size", "price", "initial", "maintenance"),
    [
        ("BTC_USDC-PERPETUAL", 25, 100_000, 53_125, 28_125),  # 2.125 % and 1.125 % of 2,500,000
        ("BTC_USDC-PERPETUAL", 350, 100_000, 1_312_500, 962_500),  # 3.75 % and 2.75 % of 35,000,000
        ("SOL_USDC-PERPETUAL", 6000, 200, 84_000, 60_000),  # 7 % and 5 % of 1,200,000
        ("SOL_USDC-PERPETUAL", 25, 200, Decimal("200.625"), Decimal("100.625")),  # 4.0125 %, 2.0125 %
    ],
)
def test_deribit_standard_then_the_support_pages_table(
    symbol: str, size: int, price: int, initial: object, maintenance: object
) -> None:
    held = position("deribit-standard", symbol, size, price)
    assert (held.initial_margin, held.maintenance_margin) == (initial, maintenance)


def test_deribit_portfolio_when_a_perpetual_then_range_and_roll_shock() -> None:
    rules = policy("deribit-portfolio")
    prices = at(rules, BTC_USDC__PERPETUAL=100_000, BTC__USD=100_000)
    figures = pool_figures(account(rules, {"BTC_USDC-PERPETUAL": 1}, {"USDC": 100_000}), CROSS, prices, rules)
    assert figures.initial_margin == 17_000  # 16 % + 1 % of 100,000; the tails are dampened away
    assert figures.maintenance_margin == 13_600  # 80 % of it


@pytest.mark.parametrize(
    ("size", "maintenance"),
    [
        (1000, 1_250_000),  # 100M * 1 / (2 * 40)
        (2000, 3_125_000),  # 200M * 1 / (2 * 20) - 1,875,000
    ],
)
def test_hyperliquid_then_half_the_initial_rate_with_the_published_deduction(
    size: int, maintenance: int
) -> None:
    assert position("hyperliquid-cross", "BTC", size, 100_000).maintenance_margin == maintenance
    assert policy("hyperliquid-cross").deductions["BTC"] == (0, 1_875_000)
    assert policy("hyperliquid-cross").instruments["BTC"].funding_interval_hours == 1


def test_bingx_then_haircut_and_closing_fee_in_maintenance_only() -> None:
    assert collateral("bingx-multi-assets", "BTC", "0.01", 100_000) == 950
    held = position("bingx-multi-assets", "BTC-USDT", 1, 100_000)
    assert held.maintenance_margin == 450  # 100,000 * (0.4 % + 0.05 %)
    assert held.initial_margin == 5000  # 100,000 / 20


def test_mexc_then_collateral_rates_are_marginal_by_coin() -> None:
    # 1 * 0.975 + 4 * 0.97 + 5 * 0.965 + 40 * 0.96 + 50 * 0.85, nothing beyond 100
    assert collateral("mexc-multi-assets", "BTC", 150) == Decimal("90.58")


def test_weex_when_both_legs_then_only_the_difference_is_margined() -> None:
    rules = policy("weex-cross")
    legs = account(rules, {"BTCUSDT": 1})
    long = legs.positions["BTCUSDT"]
    short = Position(Decimal("-0.5"), rules.instruments["BTCUSDT"].value(Decimal("-0.5"), Decimal(1)))
    state = AccountState(
        account="a",
        positions={"BTCUSDT|long": long, "BTCUSDT|short": short},
        balances={"USDT": Decimal(100_000)},
    )
    figures = pool_figures(state, CROSS, at(rules, BTCUSDT=100_000), rules)
    assert figures.maintenance_margin == 200  # 50,000 * 0.4 %
