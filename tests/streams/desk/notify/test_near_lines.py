"""Distance rules: who is near a line, when it is left, and of whom nothing can be said."""

from decimal import Decimal

import msgspec
import pytest

from engine.ledger.accounts import AccountState
from engine.ledger.applying import stopped
from engine.rejections import RejectionCode
from streams.desk.notify.distance_notices import left_notice, near_notice
from streams.desk.notify.near_lines import Look, NearKey, NearLooker
from streams.desk.notify.notify_rules import NotifyRule, NotifyRules, RuleLine
from tests.support.builders import account, prices, sample

POLICY = sample()
LONG = account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name="a")
"""Call line: 10,000 + 50,000 m = 1.2 * 5 % * 50,000 (1 + m), so m = -7,000 / 47,000 = -14.8936 %."""
AT_CALL = Decimal("0.148937")
NOW = 1_700_000_000_000_000_000


def look(
    within: str,
    state: AccountState = LONG,
    *,
    bitcoin: str = "50000",
    known: tuple[NearKey, ...] = (),
    stale: tuple[str, ...] = (),
    **rule: object,
) -> Look:
    one = NotifyRule(within_percent=Decimal(within), targets=("desk",), **rule)
    looker = NearLooker(POLICY, NotifyRules(targets={}, rules={"near": one}, groups={"vips": ("v-*",)}))
    quotes = prices({"USDT-USD": 1, "BTC-USD": bitcoin, "BTC-PERP": bitcoin}, stale)
    return looker.look(state, looker.market(quotes, NOW), known)


def key(state: AccountState = LONG, pool: str = "") -> NearKey:
    return NearKey("near", state.account, pool)


@pytest.mark.parametrize(("within", "near", "close"), [("14.8", 0, 1), ("14.9", 1, 1), ("7", 0, 0)])
def test_pool_when_its_call_line_is_14_89_percent_away_then_near_by_a_wider_rule(
    within: str, near: int, close: int
) -> None:
    found = look(within)
    assert (len(found.changes), found.close) == (near, close)
    for it in found.changes:
        assert (it.near, it.key, it.found.distance) == (True, key(), AT_CALL)
        assert it.found.equity == 10_000


def test_account_when_emptied_then_near_no_line() -> None:
    found = look("50", account({}, name="emptied"))
    assert (found.changes, found.close) == ([], False)


def test_short_when_the_market_may_rise_then_near_too() -> None:
    short = account({"USDT": 10_000}, {"BTC-PERP": (-1, 50_000)}, name="s")
    # 10,000 - 50,000 m = 3,000 (1 + m): m = 7,000 / 53,000 = 13.2075 %
    (change,) = look("13.3", short).changes
    assert change.found.distance == Decimal("0.132076")


def test_other_lines_when_a_rule_names_one_then_that_counts() -> None:
    # liquidation: 10,000 + 50,000 m = 2,500 (1 + m): m = -7,500 / 47,500 = -15.7895 %
    assert not look("15.7", line=RuleLine.LIQUIDATION).changes
    assert look("15.8", line=RuleLine.LIQUIDATION).changes[0].found.line is RuleLine.LIQUIDATION


def test_near_pool_when_the_market_recovers_then_left_only_a_quarter_further_away() -> None:
    assert not look("12", known=(key(),)).changes  # 14.89 is within 15
    (change,) = look("11.9", known=(key(),)).changes  # and not within 14.875
    assert not change.near


def test_pool_below_its_line_when_nobody_knew_then_near_at_distance_0() -> None:
    (change,) = look("1", bitcoin="42000").changes
    assert (change.near, change.found.distance) == (True, 0)


def test_isolated_position_when_near_then_told_of_it_and_left_when_it_is_closed() -> None:
    state = account({"USDT": 10_000}, isolated={"BTC-PERP": (1, 50_000, 4_000)}, name="a")
    # 4,000 + 50,000 m = 3,000 (1 + m): m = -1,000 / 47,000 = -2.1277 %
    (change,) = look("3", state).changes
    assert (change.key.pool, change.found.position, change.found.distance) == (
        "BTC-PERP",
        "BTC-PERP",
        Decimal("0.021277"),
    )
    closed = account({"USDT": 10_000}, name="a")
    (change,) = look("3", closed, known=(key(pool="BTC-PERP"),)).changes
    assert (change.near, change.found.position, change.found.equity) == (False, "BTC-PERP", 0)


def test_doubted_price_and_stopped_account_when_near_or_left_then_nothing_is_said() -> None:
    assert not look("20", stale=("BTC-PERP",)).changes
    assert not look("1", known=(key(),), stale=("BTC-PERP",)).changes
    assert not look("20", stopped(LONG, "fills", 3, RejectionCode.UNLISTED_HOLDING, None)).changes


def test_rule_when_it_names_accounts_groups_or_equity_then_others_are_passed_over() -> None:
    assert not look("20", groups=("vips",)).changes
    assert look(
        "20", account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name="v-1"), groups=("vips",)
    ).changes
    assert not look("20", equity_min=Decimal(10_001)).changes
    assert look("20", equity_min=Decimal(10_000)).changes


def test_account_when_the_rule_concerns_it_no_more_then_left() -> None:
    (change,) = look("20", known=(key(),), groups=("vips",)).changes
    assert not change.near


def test_notices_when_one_neighbourhood_opens_and_ends_then_one_episode_and_two_ids() -> None:
    (change,) = look("20").changes
    near, left = near_notice(change.found, "near", NOW), left_notice(change.found, "near", NOW)
    assert near.episode_id == left.episode_id
    assert near.id != left.id
    assert (near.resolved, left.resolved) == (False, True)
    assert "14.89 % from its margin_call line" in near.summary
    said = msgspec.json.decode(near.events[0])
    assert (said["type"], said["distance"], said["within_percent"]) == (
        "account.near_line.opened",
        "0.148937",
        "20",
    )


def test_rule_when_another_policy_is_in_force_then_its_lines_count() -> None:
    rule = NotifyRule(within_percent=Decimal("14.8"), targets=("desk",))
    looker = NearLooker(POLICY, NotifyRules(targets={}, rules={"near": rule}))
    quotes = prices({"USDT-USD": 1, "BTC-USD": "50000", "BTC-PERP": "50000"})
    assert not looker.look(LONG, looker.market(quotes, NOW), ()).changes
    looker.rule_by(sample(("margin_call = 1.2", "margin_call = 1.3")))
    # 10,000 + 50,000 m = 1.3 * 2,500 (1 + m): m = -6,750 / 46,750 = -14.4385 %
    (change,) = looker.look(LONG, looker.market(quotes, NOW), ()).changes
    assert change.found.distance == Decimal("0.144386")
