"""Records of the fund's topic."""

from decimal import Decimal

import pytest

from engine.rejections import Rejection, RejectionCode
from streams.contract.fund_record import decode_fund

GOOD = b'{"type":"fund_balance","group":"major","symbols":["X"],"balances":{"USDT":"-5.5"},"time_ns":1}'


def test_record_when_complete_then_group_contracts_and_balances():
    fund = decode_fund(b"major", GOOD)
    assert (fund.group, fund.symbols, fund.balances) == ("major", ("X",), {"USDT": Decimal("-5.5")})


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"minor", GOOD, RejectionCode.KEY_MISMATCH),
        (None, GOOD, RejectionCode.KEY_MISMATCH),
        (b"major", GOOD.replace(b"-5.5", b"NaN"), RejectionCode.OUT_OF_RANGE),
        (b"major", GOOD.replace(b"group", b"grp"), RejectionCode.WRONG_SHAPE),
        (b"major", GOOD[:-1], RejectionCode.MALFORMED),
    ],
)
def test_record_when_not_a_balance_then_refused_with_the_reason(key, value, code):
    refused = decode_fund(key, value)
    assert isinstance(refused, Rejection)
    assert refused.code is code
