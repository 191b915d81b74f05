"""A small book with something of every sort, and where its board is."""

from engine.ladder import Band
from tests.streams.desk.conftest import QUOTES, risk
from tests.support.api_process import ApiProcess
from tests.support.builders import account
from tests.support.cli_state import leave_state, marks_now

EVIL = '<img src=x onerror="window.ran=1">'


def leave_book(url: str) -> None:
    """A called account, one in liquidation, one whose name is markup, and some that are well."""
    states = [
        account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name="well/1"),
        account({"USDT": 3_400, "BTC": "0.1"}, {"BTC-PERP": (2, 51_000)}, name="called"),
        account({"USDT": 1_000}, {"ETH-PERP": (5, 3_150)}, name="sinking"),
        account({"USDT": 900}, {"ETH-PERP": (5, 3_150)}, name=EVIL),
    ]
    risks = [
        risk("called", Band.MARGIN_CALL),
        risk("sinking", Band.LIQUIDATION),
        risk(EVIL, Band.LIQUIDATION),
    ]
    leave_state(url, 0, states, risks, marks_now(QUOTES), {"fills": 41, "ledger": 7})


def address_of(api: ApiProcess) -> str:
    address = api.address()
    assert address is not None
    return address
