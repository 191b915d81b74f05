"""Inputs that name a liquidation are counted for it and for its pool, and for nothing else."""

from decimal import Decimal

import pytest

from engine.inputs import Deposit, Fill, IsolatedTransfer, MarginMode, Topic, Withdrawal
from engine.ledger.accounts import AccountState, Execution, Late
from engine.ledger.executions import execution_of
from tests.support.builders import applied, sample, trade

D = Decimal
POLICY = sample()
NEW = AccountState("alice")


def executions(*fills: Fill) -> dict[str, Execution]:
    return applied(NEW, POLICY, Topic.FILLS, *fills).executions


def test_fill_when_it_names_a_liquidation_then_it_is_added_to_what_was_closed_of_the_symbol():
    counted = executions(
        trade("BTC-PERP", -2, 100, liquidation_id="alice/cross/1"),
        trade("ETH-PERP", -5, 100, liquidation_id="alice/cross/1"),
        trade("BTC-PERP", -1, 100, liquidation_id="alice/cross/1"),
    )
    # 2 + 1 of BTC-PERP
    assert counted == {"": Execution("alice/cross/1", 3, {"BTC-PERP": D(3), "ETH-PERP": D(5)})}


def test_fill_when_it_names_none_then_nothing_is_counted():
    one = trade("BTC-PERP", -2, 100, liquidation_id="alice/cross/1")
    assert executions(trade("BTC-PERP", -2, 100)) == {}
    assert executions(one, trade("BTC-PERP", -2, 100)) == executions(one)


def test_fill_when_it_names_a_newer_liquidation_of_the_pool_then_counting_begins_anew():
    counted = executions(
        trade("BTC-PERP", -2, 100, liquidation_id="alice/cross/1"),
        trade("BTC-PERP", -1, 100, liquidation_id="alice/cross/3"),
    )
    assert counted == {"": Execution("alice/cross/3", 1, {"BTC-PERP": D(1)})}


def test_fill_when_its_position_is_isolated_then_it_counts_for_that_pool_alone():
    alone = {"margin_mode": MarginMode.ISOLATED, "margin_transfer": D(50)}
    counted = executions(
        trade("BTC-PERP", -2, 100, liquidation_id="alice/BTC-PERP/1", **alone),
        trade("ETH-PERP", -4, 100, liquidation_id="alice/ETH-PERP/2", **alone),
        trade("BTC-PERP", -1, 100, liquidation_id="alice/cross/3"),
    )
    assert counted == {
        "BTC-PERP": Execution("alice/BTC-PERP/1", 1, {"BTC-PERP": D(2)}),
        "ETH-PERP": Execution("alice/ETH-PERP/2", 1, {"ETH-PERP": D(4)}),
        "": Execution("alice/cross/3", 1, {"BTC-PERP": D(1)}),
    }


OLD, NEWER = "alice/cross/9", "alice/cross/10"


def sold(quantity, liquidation_id):
    return trade("BTC-PERP", -quantity, 100, liquidation_id=liquidation_id)


def test_fill_when_it_names_a_replaced_liquidation_then_it_is_late_and_the_newer_one_goes_on():
    state = applied(NEW, POLICY, Topic.FILLS, sold(2, NEWER), sold(2, NEWER), sold(1, OLD), sold(1, NEWER))
    # 2 + 2 + 1; a 10 is newer than a 9, whatever comes first in the alphabet
    assert execution_of(state, "") == Execution(NEWER, 3, {"BTC-PERP": D(5)}, late=Late(OLD, 1))
    assert execution_of(applied(state, POLICY, Topic.FILLS, sold(1, OLD)), "").late == Late(OLD, 2)


def test_fill_when_ids_cannot_be_compared_then_what_comes_later_is_newer():
    (its,) = executions(sold(2, "alice/cross/7"), sold(1, "by hand")).values()
    assert its == Execution("by hand", 1, {"BTC-PERP": D(1)})


def entry(kind, number, liquidation_id=NEWER, **fields):
    who = {"account": "alice", "time_ns": 0, "entry_id": f"e{number}", "liquidation_id": liquidation_id}
    return kind(**who, **fields)


LEDGER = (
    entry(Withdrawal, 1, asset="BTC", amount=D("0.5")),
    entry(Deposit, 2, asset="USDT", amount=D(30_000)),
    entry(Deposit, 3, OLD, asset="USDT", amount=D(7)),
)


def test_entries_when_they_name_a_liquidation_then_what_they_move_is_counted_beside_the_fills():
    state = applied(NEW, POLICY, Topic.LEDGER, *LEDGER)
    state = applied(state, POLICY, Topic.FILLS, sold(2, NEWER))
    assert execution_of(state, "") == Execution(
        NEWER, 1, {"BTC-PERP": D(2)}, 2, {"BTC": D("-0.5"), "USDT": D(30_000)}, Late(OLD, 1)
    )


@pytest.mark.parametrize("first", [0, 1, 2])
def test_entries_when_the_topics_come_in_another_order_then_the_same_count(first):
    fills = (sold(2, OLD), sold(2, NEWER), sold(1, OLD))
    state = applied(NEW, POLICY, Topic.FILLS, *fills[:first])
    state = applied(state, POLICY, Topic.LEDGER, *LEDGER)
    state = applied(state, POLICY, Topic.FILLS, *fills[first:])
    other = applied(applied(NEW, POLICY, Topic.LEDGER, *LEDGER), POLICY, Topic.FILLS, *fills)
    assert execution_of(state, "") == execution_of(other, "")
    assert execution_of(state, "").late == Late(OLD, 2)


def test_entries_when_the_pool_is_isolated_then_they_count_for_that_pool():
    mine = "alice/BTC-PERP|long/4"
    moved = (
        entry(Deposit, 1, mine, asset="USDT", amount=D(7)),
        entry(IsolatedTransfer, 2, mine, symbol="BTC-PERP", leg="long", amount=D(7)),
    )
    state = applied(NEW, POLICY, Topic.LEDGER, *moved)
    # what goes into the margin has left the wallet, not the account
    assert execution_of(state, "BTC-PERP|long") == Execution(mine, 0, {}, 2, {"USDT": D(7)})
    assert execution_of(state, "") is None
