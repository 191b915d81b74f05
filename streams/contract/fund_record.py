"""A record of the fund's topic: what the insurance fund of one group of contracts has."""

import msgspec

from engine.liquidation.fund_groups import FundBalance
from engine.numbers import amount_fault
from engine.rejections import Rejection, RejectionCode
from streams.contract.codec import INPUT_BYTES_MAX, decode_bounded

_decoder = msgspec.json.Decoder(FundBalance)


def decode_fund(key: bytes | None, value: bytes | None) -> FundBalance | Rejection:
    """One record that has a value; its key must be the group, for the topic is compacted by it."""
    fund = decode_bounded(_decoder.decode, value, INPUT_BYTES_MAX)
    if isinstance(fund, Rejection):
        return fund
    if key != fund.group.encode():
        return Rejection(RejectionCode.KEY_MISMATCH, f"the key is not the group {fund.group!r}")
    for asset, amount in fund.balances.items():
        fault = amount_fault(amount)
        if fault is not None:
            return Rejection(RejectionCode.OUT_OF_RANGE, f"balances.{asset} {fault}")
    return fund
