"""`unimargin account withdrawable` against a real Redis."""

import pytest

from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "USD-PERP": 100}


@pytest.mark.system
def test_withdrawable_when_asked_then_each_asset_and_what_bounds_it(redis_env):
    state = account({"USD": 60, "BTC": 1, "USDT": 0}, {"USD-PERP": (10, 100)})
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks_now(QUOTES))
    shown = unimargin("account", "withdrawable", "alice", "--json", env=redis_env).json
    # 60 + 95 - 100 = 55 of dollars, 55 / 95 of a coin
    found = {it["asset"]: (it["amount"], it["bound"]) for it in shown["assets"]}
    assert (found["USD"], found["BTC"]) == (("55", "initial_margin"), ("0.57894736", "initial_margin"))
    one = unimargin("account", "withdrawable", "alice", "--asset", "BTC", "--explain", env=redis_env).out
    for words in ("0.57894736", "one step more and the collateral would not cover", "C - IM"):
        assert words in one


@pytest.mark.system
def test_withdrawable_when_short_already_or_no_such_asset_then_said(redis_env):
    state = account({"USD": 60}, {"USD-PERP": (10, 100)})
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks_now(QUOTES))
    assert (
        "does not cover the initial margin now"
        in unimargin("account", "withdrawable", "alice", env=redis_env).out
    )
    said = unimargin("account", "withdrawable", "alice", "--asset", "DOGE", env=redis_env)
    assert (said.code, "which has USD, USDT, BTC" in said.err) == (2, True)
