"""Fills that name a liquidation are counted for it and for its pool, and for nothing else."""

from decimal import Decimal

from engine.accounts import AccountState, Execution
from engine.inputs import Fill, MarginMode, Topic
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
