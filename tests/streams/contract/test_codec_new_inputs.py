"""What the codec lets in of orders, settlements, interest, settings and the optional facts of a mark."""

import json
from decimal import Decimal

import msgspec
import pytest

from engine.inputs import AccountSetting, Interest, Mark, OrderUpdate, Settlement, Topic
from engine.marks.doubts import NANOSECONDS
from engine.rejections import Rejection, RejectionCode
from streams.cli.topics.schemas_command import every_schema
from streams.contract.codec import decode_account_input, decode_prices

D = Decimal
DAY_NS = 24 * 3600 * NANOSECONDS
NOW_NS = 1_790_000_000 * NANOSECONDS
ORDER = {
    "type": "order_update", "account": "alice", "time_ns": 1, "update_id": "u", "order_id": "o",
    "symbol": "BTC-PERP", "side": "buy", "quantity": "2", "price": "50000.5",
}  # fmt: skip
SETTLEMENT = {
    "type": "settlement", "account": "alice", "time_ns": 1, "settlement_id": "s",
    "symbol": "BTC-DEC", "price": "51000",
}  # fmt: skip
INTEREST = {
    "type": "interest", "account": "alice", "time_ns": 1, "entry_id": "i", "asset": "BTC", "amount": "0.01",
}  # fmt: skip
SETTING = {"type": "account_setting", "account": "alice", "time_ns": 1, "entry_id": "a"}
MARK = {"type": "mark", "symbol": "BTC-PERP", "price": "50000", "sequence": 1, "time_ns": 1}


def decoded(message, topic=Topic.FILLS, **changes):
    return decode_account_input(topic, b"alice", json.dumps(message | changes).encode())


def code(answer):
    assert isinstance(answer, Rejection), answer
    return answer.code


def test_order_when_well_formed_then_typed_with_its_defaults():
    answer = decoded(ORDER)
    assert isinstance(answer, OrderUpdate)
    assert (answer.quantity, answer.price, answer.reduce_only, answer.leg) == (2, D("50000.5"), False, None)
    assert answer.input_id == "u"


def test_order_when_nothing_is_left_then_taken():
    assert isinstance(decoded(ORDER, quantity="0"), OrderUpdate)


def test_amounts_when_printed_with_zeros_beyond_the_digits_then_taken_by_value():
    # 0 and 100 as many languages print them: refused, and the account stopped
    fill = {
        "type": "fill", "account": "alice", "time_ns": 1, "trade_id": "t", "symbol": "BTC-PERP", "side": "buy",
        "quantity": "1.50000000000000000000", "price": "100.00000000000000000000", "fee": "0E-20",
    }  # fmt: skip
    answer = decoded(fill)
    assert (answer.quantity, answer.price, answer.fee) == (D("1.5"), 100, 0)
    assert code(decoded(fill, price="100.00000000000000000001")) is RejectionCode.OUT_OF_RANGE
    entry = {"type": "interest", "account": "alice", "time_ns": 1, "entry_id": "i", "asset": "BTC"}
    assert decoded(entry, Topic.LEDGER, amount="-2.0000000000000000000").amount == -2


@pytest.mark.parametrize("changes", [
    {"quantity": "-1"}, {"quantity": "NaN"}, {"quantity": "Infinity"}, {"quantity": "1e24"},
    {"quantity": "1e-19"}, {"price": "NaN"}, {"price": "-1e24"},
])  # fmt: skip
def test_order_when_an_amount_is_out_of_range_then_refused(changes):
    assert code(decoded(ORDER, **changes)) is RejectionCode.OUT_OF_RANGE


@pytest.mark.parametrize("changes", [
    {"hidden": True}, {"side": "hold"}, {"leg": "both"}, {"reduce_only": "yes"}, {"order_id": ""},
    {"order_id": "x" * 129}, {"update_id": None}, {"time_ns": -1}, {"margin_mode": "portfolio"},
])  # fmt: skip
def test_order_when_its_shape_is_unknown_then_refused(changes):
    assert code(decoded(ORDER, **changes)) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize("price", ["0", "-37.63"])
def test_price_when_at_zero_or_below_then_taken_for_the_ledger_to_judge(price):
    settled, ordered = decoded(SETTLEMENT, price=price), decoded(ORDER, price=price)
    assert isinstance(settled, Settlement)
    assert (settled.price, settled.input_id) == (D(price), "s")
    assert isinstance(ordered, OrderUpdate)
    assert ordered.price == D(price)


@pytest.mark.parametrize("price", ["NaN", "1e24", "1e-19"])
def test_settlement_when_its_price_is_out_of_range_then_refused(price):
    assert code(decoded(SETTLEMENT, price=price)) is RejectionCode.OUT_OF_RANGE


def test_settlement_when_it_says_more_than_is_understood_then_refused():
    assert code(decoded(SETTLEMENT, quantity="1")) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize("message", [ORDER, SETTLEMENT])
def test_matching_messages_when_in_the_ledger_topic_then_refused(message):
    assert code(decoded(message, Topic.LEDGER)) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize("message", [INTEREST, SETTING])
def test_ledger_messages_when_in_the_fills_topic_then_refused(message):
    assert code(decoded(message)) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize("amount", ["0.01", "-0.01", "0"])
def test_interest_when_charged_or_credited_then_taken(amount):
    answer = decoded(INTEREST, Topic.LEDGER, amount=amount)
    assert isinstance(answer, Interest)
    assert answer.amount == D(amount)


@pytest.mark.parametrize("amount", ["NaN", "-Infinity", "1e24", "1e-19"])
def test_interest_when_its_amount_is_out_of_range_then_refused(amount):
    assert code(decoded(INTEREST, Topic.LEDGER, amount=amount)) is RejectionCode.OUT_OF_RANGE


def test_setting_when_it_chooses_nothing_then_both_choices_are_none():
    answer = decoded(SETTING, Topic.LEDGER)
    assert isinstance(answer, AccountSetting)
    assert (answer.margin_model, answer.collateral_off) == (None, None)


def test_setting_when_an_empty_list_is_sent_then_it_is_a_choice():
    assert decoded(SETTING, Topic.LEDGER, collateral_off=[]).collateral_off == ()


@pytest.mark.parametrize("changes", [
    {"margin_model": "isolated"}, {"collateral_off": "BTC"}, {"collateral_off": [""]}, {"leverage": "3"},
])  # fmt: skip
def test_setting_when_its_shape_is_unknown_then_refused(changes):
    assert code(decoded(SETTING, Topic.LEDGER, **changes)) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize("message", [ORDER, SETTLEMENT])
def test_message_when_the_key_is_another_account_then_refused(message):
    answer = decode_account_input(Topic.FILLS, b"bob", json.dumps(message).encode())
    assert code(answer) is RejectionCode.KEY_MISMATCH


def test_mark_when_it_carries_facts_then_they_are_exact_decimals():
    facts = {"volatility": "0.65", "funding_rate": "-0.0001", "average_price": "49999.5", "confidence": "0.9"}
    (mark,) = decode_prices(json.dumps(MARK | facts).encode())
    assert isinstance(mark, Mark)
    assert {name: getattr(mark, name) for name in facts} == {name: D(fact) for name, fact in facts.items()}


def test_mark_when_it_carries_no_facts_then_none_is_made_up():
    (mark,) = decode_prices(json.dumps(MARK).encode())
    assert (mark.volatility, mark.funding_rate, mark.average_price, mark.confidence) == (None,) * 4


def test_mark_when_it_carries_an_epoch_then_taken_and_left_out_it_is_the_first():
    (mark,) = decode_prices(json.dumps(MARK | {"epoch": 7}).encode())
    assert mark.epoch == 7
    (mark,) = decode_prices(json.dumps(MARK).encode())
    assert (mark.epoch, b"epoch" in msgspec.json.encode(mark)) == (0, False)
    assert code(decode_prices(json.dumps(MARK | {"epoch": -1}).encode())) is RejectionCode.WRONG_SHAPE


@pytest.mark.parametrize(
    ("time_ns", "refused"),
    [
        (NOW_NS, False), (NOW_NS // 10**3, True), (NOW_NS // 10**6, True), (NOW_NS // 10**9, True), (0, True),
        (NOW_NS - 10 * 365 * DAY_NS, False), (NOW_NS + DAY_NS, False), (NOW_NS + 2 * DAY_NS, True), (2**63 - 1, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("topic", list(Topic))
def test_account_input_when_its_time_cannot_be_meant_then_refused_where_its_log_tells_the_present(
    topic, time_ns, refused
):
    fill = {
        "type": "fill", "trade_id": "t", "symbol": "P", "side": "buy", "quantity": "1", "price": "1",
    }  # fmt: skip
    deposit = {"type": "deposit", "entry_id": "d", "asset": "USDT", "amount": "1"}
    message = {"account": "alice", "time_ns": time_ns} | (fill if topic is Topic.FILLS else deposit)
    value = json.dumps(message).encode()
    told = decode_account_input(topic, b"alice", value, NOW_NS)
    assert (isinstance(told, Rejection) and code(told)) == (refused and RejectionCode.TIME_IMPLAUSIBLE)
    # a log that says nothing of the present, or one made by hand whose times are small, tells nothing
    for taken_in_ns in (0, 10**12):
        assert not isinstance(decode_account_input(topic, b"alice", value, taken_in_ns), Rejection)


@pytest.mark.parametrize("changes", [{"delta": "0.5"}, {"volatility": "high"}, {"confidence": []}])
def test_mark_when_its_facts_are_no_numbers_or_unknown_then_refused(changes):
    assert code(decode_prices(json.dumps(MARK | changes).encode())) is RejectionCode.WRONG_SHAPE


def test_schemas_when_published_then_every_new_message_is_described():
    schemas = every_schema()
    for topic, names in {
        "fills": ("OrderUpdate", "Settlement"),
        "ledger": ("Interest", "AccountSetting"),
    }.items():
        assert set(names) <= set(schemas[topic]["$defs"])
    assert {"volatility", "funding_rate"} <= set(schemas["prices"]["$defs"]["Mark"]["properties"])


def test_fill_when_it_executes_the_longest_liquidation_there_can_be_then_taken():
    account, pool = "a" * 128, "P" * 122 + "|short"
    fill = {
        "type": "fill", "account": account, "time_ns": 1, "trade_id": "t", "symbol": "P", "side": "buy",
        "quantity": "1", "price": "1", "liquidation_id": f"{account}/{pool}/{2**63 - 1}",
    }  # fmt: skip
    answer = decode_account_input(Topic.FILLS, account.encode(), json.dumps(fill).encode())
    assert not isinstance(answer, Rejection), answer
