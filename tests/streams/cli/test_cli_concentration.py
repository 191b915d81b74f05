"""`unimargin account concentration` against a real Redis."""

import pytest
from msgspec.structs import replace

from tests.support.builders import account, mark
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now

QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}


@pytest.mark.system
def test_concentration_when_asked_then_deltas_and_with_everybody_read_the_share_of_open_interest(redis_env):
    alice = account({"USD": 250}, {"USD-PERP": (3, 100), "ETH-PERP": (-2, 50)})
    bob = account({"USD": 900}, {"USD-PERP": (-12, 100)}, name="bob")
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [alice, bob], marks=marks_now(QUOTES))
    asked = ("account", "concentration", "alice", "--all-accounts")
    found = unimargin(*asked, "--json", env=redis_env).json["concentration"]
    # 3 * 100, - 2 * 50
    assert [(it["underlying"], it["net"]) for it in found["underlyings"]] == [("BTC", "300"), ("ETH", "-100")]
    assert (found["net"], found["gross"], found["beta_net"]) == ("200", "400", "200")
    # 3 of 12, 2 of 2
    shares = {it["symbol"]: it["share"] for it in found["interest"]}
    assert shares == {"ETH-PERP": "1.000000000000000000", "USD-PERP": "0.250000000000000000"}
    text = unimargin(*asked, "--explain", env=redis_env).out
    for words in ("largest: BTC, 75 % of the gross", "sum to the net ones", "Share of the open interest"):
        assert words in text
    alone = unimargin("account", "concentration", "alice", "--json", env=redis_env).json
    assert alone["concentration"]["interest"] == []


@pytest.mark.system
def test_concentration_when_marks_say_the_open_interest_then_the_share_of_it_unless_everybody_is_read(
    redis_env,
):
    alice = account({"USD": 250}, {"USD-PERP": (3, 100)})
    said = [*marks_now(QUOTES), *marks_now({"USD-PERP": 100})]
    said[-1] = replace(said[-1], sequence=8, open_interest=mark("", 60).price)
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [alice], marks=said)
    asked = ("account", "concentration", "alice")
    (share,) = unimargin(*asked, "--json", env=redis_env).json["concentration"]["interest"]
    # 3 of 60, or of the 3 that all accounts have
    assert (share["open_interest"], share["share"]) == ("60", "0.050000000000000000")
    (share,) = unimargin(*asked, "--all-accounts", "--json", env=redis_env).json["concentration"]["interest"]
    assert (share["open_interest"], share["share"]) == ("3", "1.000000000000000000")
