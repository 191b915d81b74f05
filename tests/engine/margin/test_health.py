"""The health model, by hand: weights, contracts in their settle asset, reserves of spot orders, crowded assets."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.expressible import Expressible, Reason
from engine.inputs import Mark
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.health.health_pool import explain_health
from engine.margin.health.weighted_health import health
from engine.margin.margin_model import explain_shared, model_of, shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy, PolicyError, parse
from tests.support.builders import account, mark, position, prices

D = Decimal

TEXT = """
name = "health"
account_currency = "USD"

[pool]
model = "health"

[assets.USD]
[assets.A]
index = "A-USD"
[assets.B]
index = "B-USD"
deposit_scale_start = 5000
borrow_scale_start = 2000
[assets.C]
index = "C-USD"

[instruments.B-A]
kind = "spot"
base = "B"
settle = "A"

[instruments.C-A]
kind = "spot"
base = "C"
settle = "A"

[instruments.B-PERP]
kind = "perpetual"
base = "B"
settle = "A"
multiplier = 10
tiers = "isolated"

[instruments.B-COIN]
kind = "perpetual"
payoff = "inverse"
base = "B"
settle = "B"
multiplier = 100
tiers = "isolated"

[[tiers.isolated]]
floor = 0
maintenance_rate = 0.05
initial_rate = 0.1

[health.assets.USD]
initial = { asset = 1, liability = 1 }
maintenance = { asset = 1, liability = 1 }

[health.assets.A]
initial = { asset = 0.8, liability = 1.2 }
maintenance = { asset = 0.9, liability = 1.1 }

[health.assets.B]
initial = { asset = 0.5, liability = 1.5 }
maintenance = { asset = 0.7, liability = 1.3 }

[health.assets.C]
initial = { asset = 0.5, liability = 1.5 }
maintenance = { asset = 0.7, liability = 1.3 }

[health.contracts.B-PERP]
initial = { asset = 0.8, liability = 1.25 }
maintenance = { asset = 0.9, liability = 1.1 }
initial_profit = 0.6
maintenance_profit = 0.95

[health.contracts.B-COIN]
initial = { asset = 0.8, liability = 1.25 }
maintenance = { asset = 0.9, liability = 1.1 }
"""
"""B-PERP: 10 B a contract, so 50 A at a mark of 5. B-COIN: 100 quote a contract, so 20 B at a mark of 5."""

POLICY = parse(TEXT)
PRICES = {"A-USD": 1, "B-USD": 5, "C-USD": 10, "B-PERP": 5, "B-COIN": 5}
AT = prices(PRICES)


def policy_with(*changes: tuple[str, str]) -> Policy:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse(text)


def measured(state: AccountState, kind="initial", at: Prices = AT, policy: Policy = POLICY):
    with exact():
        held, _ = cross_positions(state, at, policy)
        return health(state, held, at, policy, kind)


def value(state: AccountState, kind="initial", at: Prices = AT, policy: Policy = POLICY) -> Decimal:
    with exact():
        return measured(state, kind, at, policy).value


def ordering(state: AccountState, *orders: tuple[str, int | str, int | str]) -> AccountState:
    return msgspec.structs.replace(
        state,
        orders={f"o{i}": OpenOrder(symbol, D(q), D(price)) for i, (symbol, q, price) in enumerate(orders)},
    )


def trading(quantity, quote, balance=0) -> AccountState:
    """Contracts of B-PERP beside `quote`, what the trades have earned so far, and a balance in A."""
    state = account({"A": balance}) if balance else account()
    held = msgspec.structs.replace(position(quantity, 0), entry_value=D(-quote))
    return msgspec.structs.replace(state, positions={"B-PERP": held})


# assets


def test_health_when_assets_and_liabilities_then_each_at_its_own_weight():
    state = account({"A": 100, "B": -10, "C": 2})
    assert value(state) == 100 * D("0.8") - 10 * 5 * D("1.5") + 2 * 10 * D("0.5")
    assert value(state, "maintenance") == 100 * D("0.9") - 10 * 5 * D("1.3") + 2 * 10 * D("0.7")


def said(**totals) -> Prices:
    """The prices, with what the exchange holds and owes of B."""
    return prices({**PRICES, "B-USD": mark("B-USD", PRICES["B-USD"], **totals)})


@pytest.mark.parametrize(
    ("totals", "scale"),
    [
        ({"deposits": 1_000}, D(1)),  # 1,000 * 5 = 5,000: not above the start
        ({"deposits": 2_000}, D("0.5")),  # 5,000 / (2,000 * 5)
        ({"deposits": 1_000, "potential_deposits": 1_000}, D("0.5")),
        ({"potential_deposits": 2_000}, D("0.5")),
        ({"deposits": 0}, D(1)),
    ],
)
def test_deposits_when_crowded_then_the_asset_weight_shrinks_in_initial_health_only(totals, scale):
    at = said(**totals)
    state = account({"B": 10})
    assert value(state, at=at) == 10 * 5 * D("0.5") * scale
    assert value(state, "maintenance", at) == 10 * 5 * D("0.7")


@pytest.mark.parametrize(("borrows", "scale"), [(400, 1), (1_000, D("2.5"))])
def test_borrows_when_crowded_then_the_liability_weight_grows_in_initial_health_only(borrows, scale):
    at = said(borrows=borrows)
    state = account({"B": -10})
    # 1,000 * 5 / 2,000 = 2.5
    assert value(state, at=at) == -10 * 5 * D("1.5") * scale
    assert value(state, "maintenance", at) == -10 * 5 * D("1.3")


def test_price_when_conservative_then_the_average_counts_where_it_is_worse_in_initial_health_only():
    policy = policy_with(("[pool]", "[pool]\nconservative_price = true"))
    average = {
        symbol: Mark(symbol=symbol, price=D(PRICES[symbol]), sequence=1, time_ns=0, average_price=D(4))
        for symbol in ("B-USD", "B-PERP")
    }
    at = msgspec.structs.replace(AT, marks={**AT.marks, **average})
    assert value(account({"B": 10}), at=at, policy=policy) == 10 * 4 * D("0.5")
    assert value(account({"B": -10}), at=at, policy=policy) == -10 * 5 * D("1.5")
    assert value(account({"B": 10}), "maintenance", at, policy) == 10 * 5 * D("0.7")
    # 100 + 10 * 4 * 0.8 = 132 long;  100 - 10 * 5 * 1.25 = 37.5 short
    assert value(trading(1, 100), at=at, policy=policy) == D(132) * D("0.6") * D("0.8")
    assert value(trading(-1, 100), at=at, policy=policy) == D("37.5") * D("0.6") * D("0.8")


def test_collateral_when_switched_off_then_only_its_debt_counts():
    off = msgspec.structs.replace(account({"A": 100, "B": 10}), collateral_off=("B",))
    assert value(off) == 100 * D("0.8")
    owing = msgspec.structs.replace(account({"B": -10}), collateral_off=("B",))
    assert value(owing) == -10 * 5 * D("1.5")


# contracts


@pytest.mark.parametrize(
    ("quantity", "quote", "expected"),
    [
        (10, 100, D("0.8") * D("0.6") * (100 + 10 * 50 * D("0.8"))),
        (-1, 100, D("0.8") * D("0.6") * (100 - 50 * D("1.25"))),
        # a loss has no share, only the settle asset's weight
        (1, -100, D("1.2") * (-100 + 50 * D("0.8"))),
        (-1, -100, D("1.2") * (-100 - 50 * D("1.25"))),
    ],
)
def test_contract_when_alone_then_weighted_profit_lands_in_the_settle_asset(quantity, quote, expected):
    assert value(trading(quantity, quote)) == expected


def test_contract_when_its_losing_side_can_pay_less_than_the_share_then_no_more_of_a_profit_counts():
    capped = policy_with(
        ("[health.assets.USD]", "[margin.default]\nrealisable_profit = true\n[health.assets.USD]")
    )

    def at(share):
        return prices({**PRICES, "B-PERP": mark("B-PERP", 5, realisable_share=share)})

    profit = 100 + 10 * 50 * D("0.8")
    for share, counted in (("0.25", "0.25"), ("0", "0"), ("0.9", "0.6")):
        assert value(trading(10, 100), at=at(share), policy=capped) == D("0.8") * D(counted) * profit
    # nor does a policy that does not ask, or a loss, know of it
    assert value(trading(10, 100), at=at("0.25")) == D("0.8") * D("0.6") * profit
    loss = D("1.2") * (-100 + 50 * D("0.8"))
    assert value(trading(1, -100), at=at("0.25"), policy=capped) == loss
    # what the figures of the pool count is what health counts, and the line says the share
    told = explain_health(trading(10, 100), at("0.25"), capped)
    shares = [it.inputs["realisable_share"] for it in told.lines if "realisable_share" in it.inputs]
    assert shares == [D("0.25")]


def test_contract_when_maintenance_then_its_own_weights_and_share():
    assert value(trading(10, 100), "maintenance") == D("0.9") * D("0.95") * (100 + 10 * 50 * D("0.9"))


def test_contract_when_in_profit_then_it_pays_for_a_debt_in_its_settle_asset():
    # -100 + 0.6 * (100 + 40) < 0: the liability weight of A
    assert value(trading(1, 100, balance=-100)) == D("1.2") * (-100 + D("0.6") * (100 + 50 * D("0.8")))


def test_contract_when_at_a_loss_then_it_consumes_a_deposit():
    assert value(trading(-1, -100, balance=200)) == D("0.8") * (200 - 100 - 50 * D("1.25"))


def test_contract_orders_when_both_sides_rest_then_the_worse_fill_at_the_mark():
    state = ordering(trading(3, -131, balance=100), ("B-PERP", 7, 1), ("B-PERP", -11, 99))
    # buys: (3 + 7) * 50 * 0.8 - 7 * 50 = 50;  sells: (3 - 11) * 50 * 1.25 + 11 * 50 = 50
    assert value(state) == D("0.8") * (100 - 131 + 50)
    more = ordering(trading(3, -131, balance=100), ("B-PERP", 7, 1), ("B-PERP", -15, 99))
    # sells: (3 - 15) * 50 * 1.25 + 15 * 50 = 0
    assert value(more) == D("1.2") * (100 - 131 + 0)


def test_contract_orders_when_without_a_position_then_they_require():
    state = ordering(account({"A": 100}), ("B-PERP", 2, 5))
    # 2 * 50 * 0.8 - 2 * 50
    assert value(state) == D("0.8") * (100 - 20)


def test_contract_legs_when_both_are_open_then_they_net():
    legs = {"B-PERP|long": position(5, 5, 10), "B-PERP|short": position(-3, 5, 10)}
    state = msgspec.structs.replace(account({"A": 100}), positions=legs)
    # net 2 contracts, entered at 100 A
    assert value(state) == D("0.8") * (100 + 2 * 50 * D("0.8") - 100)


@pytest.mark.parametrize(
    ("contracts", "expected"),
    [
        # 3 contracts are 300 / 5 = 60 B; a long owes them, and got 300 / 4 = 75 B of entry value
        (3, 75 - 60 * D("1.25")),
        # a short has them coming
        (-3, 60 * D("0.8") - 75),
    ],
)
def test_inverse_contract_when_held_then_the_value_in_coin_is_weighted(contracts, expected):
    held = msgspec.structs.replace(position(contracts, 0), entry_value=D(75 if contracts > 0 else -75))
    state = msgspec.structs.replace(account({"B": 100}), positions={"B-COIN": held})
    assert value(state) == (100 + expected) * 5 * D("0.5")


# what spot orders have reserved


def test_pair_when_orders_rest_then_the_side_with_the_smaller_effect_counts():
    # reserved: 20 A for 4 B, and 15 B; all as A: 20 + 75 = 95, all as B: 15 + 4 = 19
    state = ordering(account({"A": 120, "B": 5}), ("B-A", 4, 5), ("B-A", -15, 5))
    # A: 100 left; B: 5 - 15 = -10, of 19 more 10 pay the debt and 9 are owned
    as_a = 95 * D("0.8")
    as_b = 10 * 5 * D("1.5") + 9 * 5 * D("0.5")
    assert as_a < as_b
    assert value(state) == 100 * D("0.8") - 10 * 5 * D("1.5") + as_a


def test_pair_when_what_turns_up_crosses_zero_then_each_part_at_its_own_weight():
    # 1 A and 1 B reserved: 6 A at the most. 3 of them pay off what is owed in A, 3 are owned
    state = ordering(account({"A": -2, "B": -9}), ("B-A", "0.2", 5), ("B-A", -1, 5))
    assert value(state) == -3 * D("1.2") - 10 * 5 * D("1.5") + 3 * D("1.2") + 3 * D("0.8")


def test_pairs_when_another_pair_may_fill_the_same_asset_then_this_one_comes_last():
    owing = {"A": -10, "B": -100, "C": -1}
    one = ordering(account(owing), ("C-A", 1, 10))
    # 10 A reserved: A owes 20; as A they pay off 10, as C 1 coin pays off 10 at 1.5
    assert value(one) == -20 * D("1.2") - 500 * D("1.5") - 10 * D("1.5") + 10 * D("1.2")
    both = ordering(account({**owing, "A": 90}), ("C-A", 1, 10), ("B-A", 20, 5))
    # 110 A reserved: A owes 20, of 110 that may come the last 10 are owned, and of the last 100 only 90
    assert value(both) == (
        -20 * D("1.2") - 500 * D("1.5") - 10 * D("1.5") + 10 * D("0.8") + (90 * D("0.8") + 10 * D("1.2"))
    )


@pytest.mark.parametrize(
    ("ask", "worth"),
    [(3, 3), (5, 5), (6, 5)],  # the lower of ask and index ratio
)
def test_pair_when_an_ask_is_below_the_index_then_its_coins_turn_into_less(ask, worth):
    state = ordering(account({"A": -100, "B": -9}), ("B-A", -1, ask))
    # 1 B reserved, either way it pays off a debt: as B it would be worth 5 * 1.5
    assert value(state) == -100 * D("1.2") - 10 * 5 * D("1.5") + worth * D("1.2")


@pytest.mark.parametrize(("bid", "coins"), [(12, D(12) / 12), (10, D("1.2")), (8, D("1.2"))])
def test_pair_when_a_bid_is_above_the_index_then_its_quote_turns_into_less(bid, coins):
    state = ordering(account({"A": 12}), ("C-A", D(12) / bid, bid))
    assert value(state) == min(12 * D("0.8"), coins * 10 * D("0.5"))


# prices that are missing


def test_asset_when_stale_then_it_counts_nothing_and_neither_do_reserves_of_its_pairs():
    state = ordering(account({"A": 105, "B": 11, "C": -10}), ("B-A", 1, 5), ("B-A", -1, 5))
    debt = -10 * 10 * D("1.5")
    for missing, rest in (
        (["A-USD"], 10 * 5 * D("0.5")),
        (["B-USD"], 100 * D("0.8")),
        (["A-USD", "B-USD"], 0),
    ):
        for at in (
            prices(PRICES, stale=missing),
            prices({k: v for k, v in PRICES.items() if k not in missing}, stale=missing),
        ):
            assert value(state, at=at) == rest + debt
            assert not measured(state, at=at).unpriced
            assert shared_figures(state, at, POLICY).degraded


def test_liability_when_it_was_priced_once_then_it_keeps_its_last_price():
    at = prices(PRICES, stale=["C-USD"])
    assert value(account({"A": 200, "C": -10}), at=at) == 200 * D("0.8") - 10 * 10 * D("1.5")
    assert shared_figures(account({"A": 200, "C": -10}), at, POLICY).degraded


def test_liability_when_it_never_had_a_price_then_it_is_named():
    at = prices({"A-USD": 1, "B-USD": 5}, stale=["C-USD"])
    assert measured(account({"A": 200, "C": -10}), at=at).unpriced == ("C",)
    assert measured(account({"A": 200, "C": 10}), at=at).unpriced == ()
    assert measured(account({"USD": -5}), at=at).unpriced == ()


def test_contract_when_its_mark_is_stale_then_the_last_one_counts_and_the_pool_is_degraded():
    at = prices(PRICES, stale=["B-PERP"])
    assert value(trading(10, 100), at=at) == value(trading(10, 100))
    assert shared_figures(trading(10, 100), at, POLICY).degraded
    assert shared_figures(ordering(account({"A": 1}), ("B-PERP", 1, 5)), at, POLICY).degraded


# figures

amounts = st.integers(-200, 200).filter(bool)
orders = st.tuples(st.sampled_from(["B-A", "C-A", "B-PERP", "B-COIN"]), amounts, st.integers(2, 14))


@given(
    balances=st.dictionaries(st.sampled_from("ABC"), amounts),
    held=st.dictionaries(st.sampled_from(["B-PERP", "B-COIN"]), st.tuples(amounts, amounts)),
    resting=st.lists(orders, max_size=5),
    average=st.sampled_from(["0.8", "1", "1.3"]),
    totals=st.fixed_dictionaries({"deposits": st.integers(0, 3_000), "borrows": st.integers(0, 1_000)}),
)
def test_healths_when_anything_is_held_then_the_initial_one_is_never_higher_and_nothing_requires_less_than_zero(
    balances, held, resting, average, totals
):
    policy = policy_with(("[pool]", "[pool]\nconservative_price = true"))
    marks = {
        symbol: Mark(symbol=symbol, price=D(price), sequence=1, time_ns=0, average_price=price * D(average))
        for symbol, price in PRICES.items()
    }
    marks["B-USD"] = msgspec.structs.replace(marks["B-USD"], **{name: D(it) for name, it in totals.items()})
    at = Prices(marks, frozenset())
    positions = {key: Position(D(quantity), D(entered)) for key, (quantity, entered) in held.items()}
    state = ordering(msgspec.structs.replace(account(balances), positions=positions), *resting)
    assert value(state, "initial", at, policy) <= value(state, "maintenance", at, policy)
    figures = shared_figures(state, at, policy)
    assert 0 <= figures.maintenance_margin <= figures.initial_margin


def test_figures_when_under_health_then_differences_are_the_healths():
    state = ordering(trading(3, -131, balance=400), ("B-PERP", 7, 5), ("B-A", 2, 5))
    figures = shared_figures(state, AT, POLICY)
    assert figures.equity == 400 - 131 + 3 * 50
    assert figures.collateral_value - figures.maintenance_margin == value(state, "maintenance")
    assert figures.collateral_value - figures.initial_margin == value(state)
    assert figures.available_margin == value(state)


def test_figures_when_a_position_is_open_then_there_is_a_ratio():
    # 100 A and 1 contract entered at the mark: 10 % of 50 A is what the weight takes away
    figures = shared_figures(trading(1, -50, balance=100), AT, POLICY)
    assert figures.collateral_value == 100 * D("0.9")
    assert figures.maintenance_margin == 50 * D("0.1") * D("0.9")
    assert figures.ratio == 20


@pytest.mark.parametrize(("owed", "band"), [(68, Band.REDUCE_ONLY), (70, Band.LIQUIDATION)])
def test_band_when_maintenance_health_changes_its_sign_then_liquidation_begins(owed, band):
    # 100 * 0.9 against owed B of 5 at 1.3: the line is at 90 / 6.5 = 13.846 coins
    figures = shared_figures(account({"A": 100, "B": D(-owed) / 5}), AT, POLICY)
    assert band_at(figures, POLICY.ladder) is band


def test_model_when_the_policy_says_health_then_an_account_cannot_leave_it():
    chosen = msgspec.structs.replace(account({"A": 1}), margin_model="cross")
    assert model_of(chosen, POLICY) == "health"


def test_explain_when_under_health_then_lines_sum_to_the_figures():
    state = ordering(trading(3, -131, balance=400), ("B-PERP", 7, 5), ("B-A", 2, 5), ("C-A", -2, 9))
    explained = explain_shared(state, AT, POLICY)
    with exact():
        for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
            assert explained.total(figure) == getattr(explained.figures, figure), figure
    assert explained.figures == shared_figures(state, AT, POLICY)


def test_columns_when_the_model_is_health_then_they_leave_the_account_to_the_exact_judge():
    assert Expressible(POLICY).reason(account({"USD": 1})) is Reason.HEALTH


# policy


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("asset = 0.5, liability = 1.5", "asset = 1.1, liability = 1.5", "need 0 <= asset <= 1 <= liability"),
        ("asset = 0.5, liability = 1.5", "asset = 0.5, liability = 0.9", "need 0 <= asset <= 1 <= liability"),
        (
            "asset = 0.5, liability = 1.5",
            "asset = 0.5, liability = 1.2",
            "initial weights must not be more generous",
        ),
        ("asset = 0.5, liability = 1.5", "asset = 0.5, liability = nan", "must be finite"),
        ("initial_profit = 0.6", "initial_profit = 1.6", "profit shares must lie in 0..1"),
        ("initial_profit = 0.6", "initial_profit = 0.96", "initial_profit must not exceed"),
        ("[health.assets.USD]", "[health.assets.XXX]", "none for 'USD'"),
        ("[health.contracts.B-COIN]", "[health.contracts.X]", "none for 'B-COIN'"),
    ],
)
def test_parse_when_weights_break_a_rule_then_it_is_named(old, new, rule):
    with pytest.raises(PolicyError, match=f"health.*{rule}"):
        policy_with((old, new))


def test_parse_when_the_model_is_health_without_weights_then_refused():
    with pytest.raises(PolicyError, match=r"pool.model: health needs \[health\]"):
        parse(TEXT[: TEXT.index("[health.assets.USD]")])
