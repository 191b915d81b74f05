"""Who would bear what a plan leaves unpaid."""

from decimal import Decimal

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.fund_groups import FundBalance, fund_of, fund_value
from engine.liquidation.plan_cover import fund_values, unpaid_by_contract, with_cover
from engine.liquidation.planner import liquidation_plan, takeover_plan
from tests.support.builders import account, prices, sample

D = Decimal
POLICY = sample()
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10})
BOB = AdlCandidate("bob", D(-10), D(400), D(1_000), D(100), D(-1_400))
CAROL = AdlCandidate("carol", D(50), D(250), D(500), D(100), D(250))


def fund(group, *symbols, **balances):
    return FundBalance(
        group=group, symbols=symbols, balances={name: D(it) for name, it in balances.items()}, time_ns=0
    )


def holders(symbol, side):
    return {("BTC-PERP", "short"): [BOB], ("ETH-PERP", "long"): [CAROL]}.get((symbol, side), [])


def covered(plan, funds, holders=holders, values=None):
    known = fund_values(funds, AT, POLICY) if values is None else values
    return with_cover(plan, funds, known, holders, AT, POLICY)


def plan_of(cash, positions):
    return liquidation_plan(account({"USDT": cash}, positions), "", AT, POLICY)


def test_fund_when_several_are_stated_then_the_group_that_names_the_contract_before_that_of_the_rest():
    major, rest = fund("major", "BTC-PERP", "ETH-PERP"), fund("all")
    assert fund_of("BTC-PERP", [rest, major]) is major
    assert fund_of("ADA-PERP", [rest, major]) is rest
    assert fund_of("ADA-PERP", [major]) is None


def test_value_when_in_several_assets_then_at_their_index_and_unlisted_ones_are_worth_nothing():
    # 100 * 1 - 0.001 * 30,000
    assert fund_value(fund("all", USDT=100, BTC="-0.001", DOGE=9), AT, POLICY) == 100 - 30


def test_cover_when_a_takeover_leaves_something_unpaid_then_the_fund_and_then_the_winners_of_the_other_side():
    plan = plan_of(-30, {"BTC-PERP": (10, 100)})
    cover = covered(plan, [fund("all", USDT=20)])[0].cover
    # 30, and 1.5 to close 1,000: the fund's 20, then 11.5 of bob, who is closed at 103
    assert (cover.deficit, cover.from_fund, cover.fund_after) == (D("31.5"), 20, 0)
    (cut,) = cover.cuts
    assert (cut.account, cut.price) == ("bob", 103)
    assert cut.forgone - cover.overshoot == D("11.5")


def test_cover_when_legs_belong_to_two_funds_then_each_bears_its_own_part():
    plan = plan_of(-30, {"BTC-PERP": (10, 100), "ETH-PERP": (-50, 10)})
    funds = [fund("bitcoin", "BTC-PERP", USDT=5), fund("all", USDT=100)]
    cover = covered(plan, funds)[0].cover
    # 30 and 2.25 to close 1,500: two thirds, 21.5, are bitcoin's, of which its fund has 5; the other third, 10.75, the rest's fund pays
    assert (cover.deficit, cover.from_fund, cover.fund_after) == (
        D("32.25"),
        5 + D("10.75"),
        100 - D("10.75"),
    )
    assert {cut.account for cut in cover.cuts} == {"bob"}
    assert cover.cuts[0].forgone - cover.overshoot == D("21.5") - 5


def test_cover_when_no_fund_is_stated_then_winners_bear_all_that_they_can():
    plan = plan_of(-30, {"BTC-PERP": (10, 100)})
    cover = covered(plan, [], lambda _symbol, _side: [])[0].cover
    assert (cover.from_fund, cover.cuts, cover.uncovered) == (0, (), D("31.5"))


def test_cover_when_the_plan_leaves_nothing_unpaid_then_it_stays_as_it_is():
    plan = plan_of(40, {"BTC-PERP": (10, 100)})
    assert covered(plan, [fund("all", USDT=20)]) == (plan, {"all": 20})


def test_cover_when_a_second_plan_is_covered_then_out_of_what_the_first_one_left():
    funds = [fund("bitcoin", "BTC-PERP", USDT=40), fund("all", USDT=100)]
    plan = plan_of(-30, {"BTC-PERP": (10, 100)})
    _, left = covered(plan, funds)
    # 40 - 31.5
    assert left == {"bitcoin": D("8.5"), "all": 100}
    again, left = covered(plan, funds, values=left)
    assert (again.cover.from_fund, left) == (D("8.5"), {"bitcoin": 0, "all": 100})


def test_unpaid_when_two_contracts_lose_then_in_the_proportion_of_their_losses_and_all_of_it():
    # 30 and 2.25 to close 1,500, two thirds of it bitcoin's
    plan = plan_of(-30, {"BTC-PERP": (10, 100), "ETH-PERP": (-50, 10)})
    assert unpaid_by_contract(plan) == {"BTC-PERP": D("21.5"), "ETH-PERP": D("10.75")}
    assert unpaid_by_contract(plan_of(40, {"BTC-PERP": (10, 100)})) == {}


def test_cover_when_debts_alone_leave_something_unpaid_then_the_fund_that_names_no_contract_and_no_winner():
    plan = liquidation_plan(account({"USDT": -30, "USD": 10}), "", AT, POLICY)
    assert (plan.outcome, plan.expected_shortfall) == ("takeover", 20)
    funds = [fund("bitcoin", "BTC-PERP", USDT=100), fund("all", USDT=12)]
    told, left = covered(plan, funds)
    cover = told.cover
    assert (cover.deficit, cover.from_fund, cover.cuts, cover.uncovered) == (20, 12, (), 8)
    assert left == {"bitcoin": 100, "all": 0}
    # a fund for some contracts alone is not there for it, and it is said who pays nothing
    cover = covered(plan, funds[:1])[0].cover
    assert (cover.from_fund, cover.uncovered) == (0, 20)
    assert unpaid_by_contract(plan) == {"": 20}


def test_cover_when_an_isolated_position_is_gone_and_its_debt_is_not_then_the_fund_of_its_contract():
    state = account(isolated={"BTC-PERP": (0, 0, -7)})
    plan = takeover_plan(state, "BTC-PERP", AT, POLICY)
    funds = [fund("bitcoin", "BTC-PERP", USDT=100), fund("all", USDT=12)]
    told, left = with_cover(plan, funds, fund_values(funds, AT, POLICY), holders, AT, POLICY, "BTC-PERP")
    assert (told.cover.from_fund, told.cover.uncovered, left) == (7, 0, {"bitcoin": 93, "all": 12})
    assert unpaid_by_contract(plan, "BTC-PERP") == {"BTC-PERP": 7}
