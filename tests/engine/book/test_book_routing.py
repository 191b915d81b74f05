"""Accounts that the columns cannot express are routed to the exact judge, and the books still decide alike.

The policy below has every rule that the columns lack next to some that they know, so that books hold accounts of both
kinds, and accounts change from one kind to the other.
"""

import functools
import random
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.expressible import Expressible, Reason
from engine.events.dependencies import price_symbols_of
from engine.events.pools import CROSS
from engine.inputs import (
    AccountSetting,
    Deposit,
    Fill,
    FundingPayment,
    Interest,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    Mark,
    OrderUpdate,
    Settlement,
    Topic,
)
from engine.ladder import Band
from engine.ledger.accounts import AccountState, IsolatedPosition, OpenOrder, Position
from engine.ledger.applying import apply
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.policy import (
    Asset,
    BorrowTier,
    CollateralTier,
    Instrument,
    MarginRules,
    Policy,
    PoolRules,
    RiskTier,
    parse,
)
from engine.position_keys import symbol_of
from tests.engine.book.book_twins import Twins, place
from tests.support.builders import account, seconds
from tests.support.instants import at as moment
from tests.support.instants import singly

D = Decimal

POLICY = """
name = "wide"
account_currency = "USD"
{extra}
[ladder]
exit_hold_seconds = 2
[assets.USD]
[assets.USDT]
index = "USDT-USD"
tiers = [{{ floor = 0, ratio = 0.99 }}, {{ floor = 500, ratio = 0.9 }}]
borrow_tiers = [
  {{ floor = 0, initial_rate = 0.1, maintenance_rate = 0.05 }},
  {{ floor = 100, initial_rate = 0.2, maintenance_rate = 0.1 }},
]
[assets.BTC]
index = "BTC-USD"
tiers = [{{ floor = 0, ratio = 0.95 }}, {{ floor = 1, ratio = 0.9 }}, {{ floor = 9, ratio = 0.5 }}]
cap = 5
liability_factor = 1.25
[assets.VALUE]
index = "VALUE-USD"
tiers_by = "value"
tiers = [{{ floor = 0, ratio = 0.9 }}, {{ floor = 300, ratio = 0.5 }}]
[assets.FLAT]
index = "FLAT-USD"
tiers_by = "value"
tiers = [{{ floor = 0, ratio = 0.8 }}]
[assets.NONE]
index = "NONE-USD"
collateral = false
[assets.CROWD]
index = "CROWD-USD"
deposit_scale_start = 1000
borrow_scale_start = 500
[[tiers.low]]
floor = 0
maintenance_rate = 0.01
initial_rate = 0.02
[[tiers.low]]
floor = 1000
maintenance_rate = 0.05
initial_rate = 0.1
[[tiers.low]]
floor = 3000
maintenance_rate = 0.3
initial_rate = 0.5
[[tiers.one]]
floor = 0
maintenance_rate = 0.1
initial_rate = 0.2
[margin.net]
hedge_legs = "net"
tiering = "flat"
[margin.larger]
hedge_legs = "larger"
[margin.fee]
closing_fee = "notional"
taker_fee_rate = 0.001
[margin.bankruptcy]
closing_fee = "bankruptcy"
taker_fee_rate = 0.001
[margin.entry]
notional = "entry"
[margin.flat]
tiering = "flat"
[margin.fraction]
maintenance = "fraction_of_initial"
maintenance_fraction = 0.5
[margin.size]
initial = "size"
maintenance = "size"
[margin.steps]
notional_step = 7
margin_step = 0.3
margin_rounding = "up"
[margin.weighted]
profit_weight = 0.5
[margin.realisable]
profit_weight = 0.9
realisable_profit = true
[margin.leveraged]
maintenance = "tier_over_leverage"
[margin.options]
option = "short"
[option_margin.short]
initial_rate = 0.15
initial_floor_rate = 0.1
call_maintenance_rate = 0.075
put_maintenance_rate = 0.075
"""
LINEAR = {
    "GROSS": ("USDT", "low", "default"),
    "SCALED": ("BTC", "one", "default"),
    "NET": ("USDT", "one", "net"),
    "LARGER": ("USD", "low", "larger"),
    "FEE": ("USD", "low", "fee"),
    "BANKRUPTCY": ("USD", "low", "bankruptcy"),
    "ENTRY": ("USD", "low", "entry"),
    "FLAT": ("USD", "low", "flat"),
    "FRACTION": ("USD", "one", "fraction"),
    "JUMPING": ("USD", "low", "fraction"),
    "SIZE": ("USD", "low", "size"),
    "STEPS": ("USD", "low", "steps"),
    "WEIGHTED": ("USDT", "low", "weighted"),
    "LEVERAGED": ("USD", "low", "leveraged"),
    "REALISED": ("USDT", "low", "realisable"),
}
SIZES = "size_rates = { initial_base_rate = 0.02, maintenance_base_rate = 0.01, slope_per_unit = 0.001 }\n"
OPTION = """
[instruments.{name}]
kind = "option"
base = "{base}"
settle = "{settle}"
margin = "options"
expiry = 2030-01-01T08:00:00Z
strike = {strike}
right = "{right}"
{more}
price = {{ zero_allowed = true }}
"""
LISTINGS = "".join(
    f'[instruments.{name}]\nkind = "perpetual"\nbase = "{name}"\nsettle = "{settle}"\ntiers = "{tiers}"\n'
    f'margin = "{margin}"\nmultiplier = {"0.001" if settle == "BTC" else "1"}\n{SIZES if margin == "size" else ""}'
    for name, (settle, tiers, margin) in LINEAR.items()
)
LISTINGS += """
[instruments.INVERSE]
kind = "perpetual"
base = "BTC"
settle = "BTC"
payoff = "inverse"
multiplier = 100
tiers = "one"
[instruments.FUTURE]
kind = "future"
base = "BTC"
settle = "USD"
expiry = 2030-01-01T08:00:00Z
tiers = "low"
open_interest = { lower_cap = 1000, upper_cap = 2000 }
[instruments.BTC-USDT]
kind = "spot"
base = "BTC"
settle = "USDT"
"""
LISTINGS += """
[instruments.OIL]
kind = "perpetual"
base = "CRUDE"
settle = "USD"
tiers = "low"
negative_prices = true
price_scale_min = 8
"""
LISTINGS += OPTION.format(name="CALL", base="BTC", settle="USDT", strike=400, right="call", more="")
LISTINGS += OPTION.format(name="PUT", base="BTC", settle="BTC", strike=300, right="put", more="")
LISTINGS += OPTION.format(
    name="FAR", base="ETH", settle="USD", strike=20, right="call", more='forward = "ETH-FWD"'
)
PORTFOLIO = """
[portfolio.units.default]
shock_on = "index"
grid = { prices = [-0.1, 0, 0.1], volatilities = ["none"] }
"""
POOLS = {
    "plain": "",
    "requirement": '[pool]\nliabilities = "requirement"\nrequirement_rate = "liability"',
    "liability_rate": '[pool]\nrequirement_rate = "liability"',
    "wallet": '[pool]\nhaircut_on = "wallet"',
    "conservative": "[pool]\nconservative_price = true",
    "liquidation_fee": '[pool]\nliquidation_fee_rate = 0.01\noption_value = "collateral"',
    "orders": "[pool]\norders_in_maintenance = true\norder_requirement = 0.5",
    "filled": '[pool]\norders_in_maintenance = true\nspot_orders = "filled"',
    "funding": "[pool]\nfunding_accrual = true",
    "portfolio": PORTFOLIO,
}
"""Text put into the policy."""
START = {
    **dict.fromkeys(LINEAR, 50),
    "SCALED": 7,
    "INVERSE": 400,
    "FUTURE": 50,
    "OIL": 5,
    "CALL": 30,
    "PUT": "0.05",
    "FAR": 3,
    "ETH-FWD": 20,
    "USDT-USD": 1,
    "BTC-USD": 400,
    "VALUE-USD": 3,
    "FLAT-USD": 2,
    "NONE-USD": 5,
    "CROWD-USD": 1,
}
OPTIONS = ("CALL", "PUT", "FAR")
CONTRACTS = (*LINEAR, "INVERSE", "FUTURE", "OIL", *OPTIONS)
KNOWN = ("GROSS", "SCALED", "FEE", "FRACTION", "FUTURE")
"""Contracts that the columns express."""
ASSETS = ("USD", "USDT", "BTC", "VALUE", "FLAT", "NONE", "CROWD")
NAMES = ("alice", "bob", "carol", "dave")
MOVES = ("1", "1", "1", "1.0001", "0.999", "1.05", "0.95", "1.3", "0.7", "2", "0.5")
_PLACES = D("1e-9")


@functools.cache
def policy_of(pool: str) -> Policy:
    return parse(POLICY.format(extra=POOLS[pool]) + LISTINGS)


def twin_books(pool: str = "plain", *, primed: bool = True) -> Twins:
    return Twins(policy_of(pool), START, primed=primed)


names = st.sampled_from(NAMES)
amounts = st.sampled_from(("0.000001", "0.5", "1", "5", "9", "50", "400", "3000", "-1", "-100", "-700")).map(
    D
)
quantities = st.sampled_from(("0.001", "1", "1", "3", "10", "30", "100")).map(D)
contracts = st.one_of(st.sampled_from(KNOWN), st.sampled_from(CONTRACTS))
legs = st.sampled_from((None, None, "long", "short"))
sides = st.sampled_from(("buy", "sell"))


def quote(data, symbol: str) -> Decimal:
    price = D(START.get(symbol, 400)) * D(data.draw(st.sampled_from(MOVES)))
    return price - data.draw(st.sampled_from((0, 5, 12))) if symbol == "OIL" else price


def fill_step(data, twins, name) -> None:
    symbol = data.draw(contracts)
    isolated = symbol not in OPTIONS and data.draw(st.integers(0, 3)) == 0
    twins.apply(
        name,
        Fill(
            account=name,
            time_ns=0,
            trade_id="t",
            symbol=symbol,
            side=data.draw(sides),
            quantity=data.draw(quantities),
            price=quote(data, symbol),
            margin_mode=MarginMode.ISOLATED if isolated else MarginMode.CROSS,
            margin_transfer=data.draw(amounts) if isolated else D(0),
            leg=data.draw(legs),
        ),
    )


def order_step(data, twins, name) -> None:
    symbol = data.draw(st.one_of(st.just("BTC-USDT"), contracts))
    twins.apply(
        name,
        OrderUpdate(
            account=name,
            time_ns=0,
            update_id="u",
            order_id=data.draw(st.sampled_from(("o1", "o2"))),
            symbol=symbol,
            side=data.draw(sides),
            quantity=data.draw(st.one_of(st.just(D(0)), quantities)),
            price=quote(data, symbol),
            reduce_only=data.draw(st.integers(0, 4)) == 0,
            margin_mode=data.draw(st.sampled_from((MarginMode.CROSS, MarginMode.CROSS, MarginMode.ISOLATED))),
            leg=None if symbol == "BTC-USDT" else data.draw(legs),
        ),
    )


def settle_step(data, twins, name) -> None:
    held = [symbol for symbol in twins.state(name).positions if symbol in CONTRACTS]
    if held:
        symbol = data.draw(st.sampled_from(sorted(held)))
        twins.apply(
            name,
            Settlement(account=name, time_ns=0, settlement_id="s", symbol=symbol, price=quote(data, symbol)),
        )


def entry_step(data, twins, name) -> None:
    head = {"account": name, "entry_id": "e", "time_ns": 0}
    amount, asset = data.draw(amounts), data.draw(st.sampled_from(ASSETS))
    match data.draw(st.integers(0, 4)):
        case 0:
            twins.apply(name, Interest(**head, asset=asset, amount=amount))
        case 1:
            twins.apply(name, FundingPayment(**head, symbol=data.draw(st.sampled_from(KNOWN)), amount=amount))
        case 2:
            twins.apply(
                name, IsolatedTransfer(**head, symbol=data.draw(st.sampled_from(KNOWN)), amount=amount)
            )
        case _:
            twins.apply(name, Deposit(**head, asset=asset, amount=amount))


def setting_step(data, twins, name) -> None:
    head = {"account": name, "entry_id": "e", "time_ns": 0}
    off = data.draw(st.one_of(st.none(), st.lists(st.sampled_from(ASSETS), max_size=3).map(tuple)))
    model = data.draw(st.sampled_from((None, "cross", "portfolio")))
    twins.apply(name, AccountSetting(**head, margin_model=model, collateral_off=off))
    twins.apply(
        name, LeverageSetting(**head, symbol="LEVERAGED", leverage=data.draw(st.sampled_from((D(2), D(20)))))
    )


def member(rng: random.Random, twins: Twins, name: str) -> None:
    """An account with one to three positions, some coins, an order here and there, near a line of the ladder."""
    symbols = rng.sample(KNOWN, 1) if rng.random() < 0.3 else rng.sample(CONTRACTS, rng.choice((1, 1, 2, 3)))
    coins = {asset: D(rng.choice((5, 50, -2))) for asset in rng.sample(ASSETS[1:], rng.choice((0, 1, 2)))}
    state = AccountState(name, {"USD": D(100), **coins})
    for symbol in symbols:
        sizes = {"SCALED": 2000, "INVERSE": 20}
        legs = ("long", "short") if rng.random() < 0.3 else (None,)
        for leg in legs:
            fill = Fill(
                account=name,
                time_ns=0,
                trade_id="t",
                symbol=symbol,
                side=rng.choice(("buy", "sell")),
                quantity=D(sizes.get(symbol, 10)) * rng.choice((1, 3, 9)),
                price=D(START[symbol]),
                margin_mode=MarginMode.ISOLATED
                if rng.random() < 0.2 and symbol not in OPTIONS
                else MarginMode.CROSS,
                margin_transfer=D(0),
                leg=leg,
            )
            state = booked(state, fill, twins.policy)
    if rng.random() < 0.3:
        order = OpenOrder(rng.choice(("BTC-USDT", *symbols)), D(rng.choice((1, 5, -5))), D(60))
        state = replace(state, orders={"o": order})
    model = rng.choice((None, "cross", "portfolio")) if twins.policy.portfolio else None
    off = tuple(rng.sample(ASSETS, 1)) if rng.random() < 0.2 else ()
    twins.put(replace(state, margin_model=model, collateral_off=off))
    place(twins, name, rng.choice(("1.6", "1.5", "1.3", "1.1", "1")), D(0), relative=False)


def booked(state: AccountState, message, policy: Policy) -> AccountState:
    after = apply(state, message, Topic.FILLS, 0, policy)
    return after if isinstance(after, AccountState) else state


def next_mark(rng: random.Random, twins: Twins, symbol: str) -> Mark:
    """A mark of the symbol up to 10 % away, or the same price, with what an exchange tells besides the price."""
    last = (twins.prices[symbol].price if symbol in twins.prices else None) or D(START[symbol])
    move = rng.choice(("1", "1", "1.0001", "0.999", "1.03", "0.97", "1.1", "0.9"))
    price = min(max(last * D(move), _PLACES), D("1e6")).quantize(_PLACES)
    if symbol == "OIL":
        # through 0 and back
        price = twins.prices[symbol].price if symbol in twins.prices else D(START[symbol])
        price += D(rng.choice(("0", "0.01", "1", "-1", "4", "-4")))
    if symbol in OPTIONS and rng.random() < 0.2:
        price = D(0)
    facts = {
        "funding_rate": D(rng.choice(("0.1", "-0.1"))),
        "average_price": price * D(rng.choice(("0.9", "1", "1.1"))),
        "open_interest": D(rng.choice((0, 20, 30, 1000))),
        "deposits": D(rng.choice((0, 900, 1500, 4000))),
        "borrows": D(rng.choice((0, 400, 700, 2000))),
        "potential_deposits": D(rng.choice((0, 300))),
        "realisable_share": D(rng.choice(("0", "0.3", "0.302", "0.95", "1"))),
    }
    kept = {name: fact for name, fact in facts.items() if rng.random() < 0.7}
    return twins.mark(symbol, price, rng.choice((0, 0, 0, 0, 0, seconds(11))), **kept)


def marks_step(data, twins, name) -> None:
    rng = random.Random(data.draw(st.integers(0, 2**16)))
    watched = sorted(price_symbols_of(twins.state(name), CROSS, twins.policy)) or sorted(START)
    marks = []
    for _ in range(rng.randint(1, 4)):
        twins.now_ns += rng.choice((0, 1, NANOSECONDS, 3600 * NANOSECONDS))
        marks.append(next_mark(rng, twins, rng.choice((*watched, *watched, *sorted(START)))))
    twins.on_marks(*marks)


def clock_step(data, twins, _name) -> None:
    twins.now_ns += seconds(data.draw(st.sampled_from((0, 1, 2, 3600))))
    twins.on_clock(data.draw(st.sets(st.sampled_from(sorted(START)), max_size=3)))


def place_step(data, twins, name) -> None:
    beside = D(data.draw(st.sampled_from(("0", "1e-18", "-1e-18", "1e-9", "-1e-5"))))
    line = data.draw(st.sampled_from(("1.5", "1.2", "1.05", "1", "1.52", "1.02", "0")))
    place(twins, name, line, beside, relative=data.draw(st.booleans()))


def judge_step(data, twins, _name) -> None:
    twins.judge(*[name for name in twins.plain.accounts() if data.draw(st.booleans())])


def totals_step(_data, twins, _name) -> None:
    if twins.policy.pool.funding_accrual or twins.policy.portfolio:
        # what time changes is in the totals once the account is judged again
        twins.judge(*twins.plain.accounts())
    twins.totals()


def prime_step(data, twins, _name) -> None:
    twins.prime({symbol: START[symbol] for symbol in data.draw(st.sets(st.sampled_from(sorted(START))))})


def reload_step(data, twins, _name) -> None:
    twins.reload(
        data.draw(st.integers(0, 2)), judged=data.draw(st.booleans()), packed=data.draw(st.booleans())
    )


STEPS = (
    *[fill_step] * 4,
    *[entry_step] * 4,
    *[marks_step] * 8,
    *[clock_step] * 2,
    *[place_step] * 3,
    *[order_step] * 2,
    *[setting_step] * 2,
    settle_step,
    judge_step,
    totals_step,
    prime_step,
    *[reload_step] * 2,
)


@pytest.mark.parametrize("pool", POOLS)
@settings(max_examples=15, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_books_when_some_accounts_are_routed_and_inputs_interleave_then_they_decide_alike(pool, data):
    twins = twin_books(pool, primed=data.draw(st.integers(0, 3)) > 0)
    rng = random.Random(data.draw(st.integers(0, 2**16)))
    for name in NAMES[: data.draw(st.integers(0, 4))]:
        member(rng, twins, name)
    for _ in range(data.draw(st.integers(5, 40))):
        data.draw(st.sampled_from(STEPS))(data, twins, data.draw(names))
    totals_step(data, twins, None)


@pytest.mark.parametrize("pool", POOLS)
def test_books_when_a_crowd_of_both_kinds_lives_through_a_crash_then_they_decide_alike(pool):
    twins, rng = twin_books(pool), random.Random(pool)
    crowd = [f"account-{i:02}" for i in range(50)]
    for name in crowd:
        member(rng, twins, name)
    for name in crowd[:5]:
        twins.put(account({"USD": 5}, name=name))
    twins.judge(*crowd)
    for _ in range(60):
        twins.now_ns += rng.choice((1, NANOSECONDS // 2, 3 * NANOSECONDS))
        twins.on_marks(*(next_mark(rng, twins, rng.choice(sorted(START))) for _ in range(3)))
        twins.on_clock({symbol for symbol in START if rng.random() < 0.03})
        if rng.random() < 0.3:
            changed = rng.choice(crowd[5:])
            member(rng, twins, changed)
            # as whoever puts does: what is due of a pool that is gone is nobody's to say
            twins.judge(changed)
        for name in rng.sample(crowd[5:], 4):
            place(twins, name, rng.choice(("1.6", "1.5", "1.3", "1")), D("1e-9"), relative=True)
            twins.judge(name)
    routed = sum(twins.fast.routed.values())
    assert 0 < routed < len(crowd)
    assert twins.judgements > 2 * len(crowd)
    assert twins.fast.exact < twins.plain.exact
    totals_step(None, twins, None)


def order(symbol: str, **fields) -> dict[str, OpenOrder]:
    return {"o": OpenOrder(symbol, D(1), D(60), **fields)}


def held(
    *keys: str, coins: str = "USD", amount: object = 200, isolated: bool = False, **fields
) -> AccountState:
    """Forty contracts of each position bought at the start price (or 36 sold, of a short leg), and some coins.

    An isolated position has a fifth of its value as margin.
    """
    open_, instruments = {}, policy_of("plain").instruments
    for key in keys:
        size = D(-36 if key.endswith("short") else 40)
        open_[key] = Position(size, instruments[symbol_of(key)].value(size, D(START[symbol_of(key)])))
    pools = {"isolated": {key: IsolatedPosition(it, abs(it.entry_value) / 5) for key, it in open_.items()}}
    state = AccountState("alice", {coins: D(amount)})
    return replace(state, **(pools if isolated else {"positions": open_}), **fields)


ROUTED = [
    (Reason.PORTFOLIO, "portfolio", held("GROSS", margin_model="portfolio")),
    (Reason.ORDERS, "orders", held("GROSS", orders=order("GROSS"))),
    (Reason.ORDERS, "filled", held("GROSS", orders=order("BTC-USDT"))),
    (Reason.OPTION, "plain", held("CALL|short")),
    (Reason.OPTION, "plain", held("FAR|short")),
    (Reason.INVERSE, "plain", held("INVERSE")),
    (Reason.INVERSE, "plain", held("INVERSE", isolated=True)),
    (Reason.NEGATIVE_PRICES, "plain", held("OIL")),
    (Reason.NEGATIVE_PRICES, "plain", held("OIL|short")),
    (Reason.NEGATIVE_PRICES, "plain", held("OIL", isolated=True)),
    (Reason.HEDGE_LEGS, "plain", held("NET|long", "NET|short")),
    (Reason.HEDGE_LEGS, "plain", held("LARGER|long", "LARGER|short")),
    (Reason.ENTRY_NOTIONAL, "plain", held("ENTRY")),
    (Reason.ROUNDING, "plain", held("STEPS")),
    (Reason.LEVERAGE, "plain", held("LEVERAGED", leverage={"LEVERAGED": D(2)})),
    (Reason.SIZE, "plain", held("SIZE")),
    (Reason.CLOSING_FEE, "plain", held("BANKRUPTCY", leverage={"BANKRUPTCY": D(2)})),
    (Reason.TIERS, "plain", held("FLAT")),
    (Reason.TIERS, "plain", held("JUMPING")),
    (Reason.PROFIT_WEIGHT, "plain", held("WEIGHTED")),
    (Reason.REALISABLE_PROFIT, "plain", held("REALISED")),
    (Reason.WALLET_HAIRCUT, "wallet", held("GROSS", coins="USDT", amount=700)),
    (Reason.REQUIREMENT_RATE, "liability_rate", held("SCALED", isolated=True)),
    (Reason.LIQUIDATION_FEE, "liquidation_fee", held("GROSS")),
    (Reason.FUNDING, "funding", held("GROSS")),
    (Reason.LIABILITY, "requirement", held("FUTURE")),
    (Reason.LIABILITY, "requirement", held(coins="BTC", amount=-1)),
    (Reason.CONSERVATIVE_PRICE, "conservative", held("FUTURE", coins="BTC")),
    (Reason.TIERS_BY_VALUE, "plain", held("FUTURE", coins="VALUE")),
    (Reason.CROWDED, "plain", held("FUTURE", coins="CROWD")),
]
"""Accounts that are routed, and why."""
NEVER_BOXED = (Reason.ORDERS, Reason.CROWDED, Reason.FUNDING, Reason.NEGATIVE_PRICES)
"""What has no bound; or, funding at rates of several hundred percent, none that would leave room."""
EXPRESSED = [
    ("plain", held("GROSS|long", "GROSS|short")),
    ("plain", held("NET|long")),
    ("plain", held("FEE")),
    ("plain", held("FEE", isolated=True)),
    ("plain", held("FRACTION")),
    ("plain", held("FUTURE", coins="FLAT")),
    ("plain", held("FUTURE", coins="NONE")),
    ("plain", held("FUTURE", coins="BTC", amount=7)),  # 2 of them above the cap
    ("plain", held("FUTURE", coins="BTC", collateral_off=("BTC",))),
    ("plain", held("SCALED", coins="BTC", amount=-1, collateral_off=("BTC", "USD"))),
    ("plain", held("GROSS", coins="USDT", amount=-150)),
    ("plain", held("GROSS", orders=order("BTC-USDT"))),
    ("plain", held("GROSS", orders=order("CALL"))),
    ("plain", held(coins="BTC", amount=1, orders=order("GROSS"))),
    ("liability_rate", held("SCALED", "GROSS", coins="BTC")),
    ("orders", held("GROSS", orders=order("GROSS", reduce_only=True))),
    ("orders", held("GROSS", orders=order("GROSS", isolated=True))),
    ("wallet", held(coins="BTC", amount=-1)),
    ("funding", held("FUTURE")),
    ("funding", held("FUTURE", isolated=True)),
    ("requirement", held(coins="BTC", amount=1)),
    ("conservative", held("FUTURE")),
    ("portfolio", held("FUTURE")),
]
"""Accounts that come close, and that the columns express."""


STEPS_PERMILLE = (
    *range(12),
    *range(40, 600, 40),
    *range(560, -900, -40),
    *range(-880, 0, 40),
    *range(-12, 1),
)
"""Away from the start price in small steps at first, then far up, far down and back."""


ODD_EDGES = tuple(D(edge) / 1000 for edge in range(37, 4000, 111))
"""Ratios that no account here has by design, so that float figures fall on the same side of them as exact ones."""


def swept(pool: str, state: AccountState) -> Twins:
    """Both books after every price of the account moved up and down in small steps, from each of some lines."""
    twins = twin_books(pool)
    twins.put(state)
    symbols = price_symbols_of(state, CROSS, twins.policy)
    symbols |= {symbol_of(key) for key in state.isolated}
    for symbol in sorted(symbols):
        for line in ("1.5", "1.1"):
            if twins.figures(state.account).requirement:
                place(twins, state.account, line, D(0), relative=False)
            twins.judge(state.account)
            start = D(START[symbol])
            for step in STEPS_PERMILLE:
                twins.now_ns += NANOSECONDS // 4
                # what may be below 0 goes through it and back
                price = (start * (1 + D(step) / (400 if symbol == "OIL" else 1000))).quantize(_PLACES)
                average = price * D("1.02" if step % 400 else "0.97")
                mark = twins.mark(symbol, price, average_price=average, funding_rate=D(step) / 100)
                twins.on_marks(mark)
                if step % 200 == 0:
                    twins.totals(ODD_EDGES)
    twins.on_clock(())
    return twins


@pytest.mark.parametrize(("reason", "pool", "state"), ROUTED)
def test_books_when_an_account_needs_what_the_columns_lack_then_routed_and_decided_alike(reason, pool, state):
    assert Expressible(policy_of(pool)).reason(state) is reason
    twins = swept(pool, state)
    assert twins.fast.routed == {reason: 1}
    # the others have a box between the lines now and then; `test_book_boxes` tells what a box has to keep
    assert (twins.fast.exact < twins.plain.exact) == (reason not in NEVER_BOXED)
    assert twins.judgements
    totals_step(None, twins, None)
    twins.put(AccountState("alice", {"USD": D(1)}))
    assert twins.fast.routed == {}
    totals_step(None, twins, None)


@pytest.mark.parametrize(("pool", "state"), EXPRESSED)
def test_books_when_the_columns_express_an_account_then_not_routed_and_decided_alike(pool, state):
    assert Expressible(policy_of(pool)).reason(state) is None
    twins = swept(pool, state)
    assert twins.fast.routed == {}
    assert twins.judgements or not state.positions
    twins.totals()


def test_totals_when_a_routed_account_was_put_or_prices_were_primed_then_at_the_present_prices():
    twins = twin_books()
    routed, known = held("INVERSE", coins="BTC"), replace(held("FUTURE"), account="bob")
    twins.put(routed)
    twins.put(known)
    twins.totals(ODD_EDGES)
    twins.prime({"INVERSE": 300, "BTC-USD": 310, "FUTURE": 55})
    twins.totals(ODD_EDGES)
    assert twins.fast.exact == 0
    twins.on_marks(twins.mark("INVERSE", D(500)), twins.mark("BTC-USD", D(490)))
    twins.put(replace(routed, balances={"USD": D(7)}))
    twins.totals(ODD_EDGES)


def test_totals_when_more_routed_accounts_are_quiet_than_are_refreshed_then_the_oldest_figures_come_first():
    twins = twin_books("funding")
    book = ColumnarBook(twins.policy, refreshed_max=1)
    book.prime([twins.mark("GROSS", D(50), funding_rate=D("0.0001"))], moment(0, frozenset()))
    for name in ("alice", "bob"):
        book.put(replace(held("GROSS", amount=9000), account=name))
    drained(book.judge(["alice", "bob"]))
    assert book.boxed == 2
    drained(book.on_instants(singly([twins.mark("GROSS", D(51), funding_rate=D("0.0001"))])))
    # 40 * (51 - 50) = 40 more for each, of which each call sees one account more
    assert [float(book.totals([]).equity) for _ in range(3)] == [18_040, 18_080, 18_080]
    assert book.exact == book.exact_routed == 2


def test_routed_account_when_the_same_price_comes_again_then_judged_again():
    twins = twin_books("funding")
    twins.put(held("GROSS", amount=-1))
    place(twins, "alice", "1.5", D(0), relative=False)
    for hour in range(1, 9):
        twins.now_ns = hour * 3600 * NANOSECONDS
        # the price stays, the funding that has accrued since midnight grows
        twins.on_marks(twins.mark("GROSS", D(50), funding_rate=D("0.01")))
    assert twins.fast.exact == twins.plain.exact == 8
    assert twins.judgements


@pytest.mark.parametrize(
    ("coins", "fact", "calm", "far"),
    # 1,000 of 2,000 or 1,250 of 1,000 count; 500 is where what is owed begins to count more
    [
        ("900", {"deposits": D(800)}, {"deposits": D(1000)}, {"deposits": D(4000)}),
        (
            "900",
            {"deposits": D(500)},
            {"deposits": D(500), "potential_deposits": D(500)},
            {"deposits": D(500), "potential_deposits": D(3500)},
        ),
        ("-300", {"borrows": D(400)}, {"borrows": D(500)}, {"borrows": D(1500)}),
    ],
)
def test_books_when_what_the_exchange_holds_or_owes_of_an_asset_moves_alone_then_its_holders_are_judged_again(
    coins, fact, calm, far
):
    twins = twin_books()
    held_coins = {"CROWD": D(coins), "USD": D(700)}
    twins.put(replace(held("GROSS"), balances=held_coins))
    assert Expressible(twins.policy).reason(twins.state("alice")) is Reason.CROWDED
    bystander = replace(held("GROSS", amount=9000), account="bob")
    twins.put(bystander)
    twins.on_marks(twins.mark("CROWD-USD", D(1), **fact))
    place(twins, "alice", "1.6", D(0), relative=False)
    twins.judge("alice", "bob")
    before = twins.judgements
    twins.on_marks(twins.mark("CROWD-USD", D(1), **calm))
    assert twins.judgements == before  # nothing scales yet
    exact = twins.fast.exact
    twins.on_marks(twins.mark("CROWD-USD", D(1), **far))
    assert twins.fast.exact == exact + 1  # nobody else
    pool = twins.fast.risk("alice").pools[CROSS]
    assert pool.band is not Band.HEALTHY
    # and once more when nothing is said of it any more
    twins.on_marks(twins.mark("CROWD-USD", D(1)))
    assert twins.fast.exact == exact + 2


def test_books_when_open_interest_moves_alone_then_initial_margin_follows_and_no_band():
    twins = twin_books()
    twins.put(held("FUTURE"))
    twins.judge("alice")
    assert Expressible(twins.policy).reason(twins.state("alice")) is None
    figures = []
    for interest in (20, 30, 1000):  # of 50 each: 1,000 is the lower cap, 2,000 the upper
        twins.on_marks(twins.mark("FUTURE", D(50), open_interest=D(interest)))
        figures.append(twins.figures("alice"))
    tier, between, whole = (it.initial_margin for it in figures)
    assert tier < between < whole
    assert len({it.ratio for it in figures}) == 1
    assert not twins.judgements


@pytest.mark.parametrize("shares", [("1", "0.2"), ("0.2", "1"), ("0.995", "0.99"), ("0", "0.9")])
def test_books_when_the_losing_side_can_pay_more_or_less_then_who_has_a_profit_is_judged_again(shares):
    twins = twin_books()
    state = held("REALISED", amount=100)
    (key,) = state.positions
    winner = replace(state, positions={key: replace(state.positions[key], entry_value=D(-2000))})
    twins.put(winner)
    # the columns express the bystander, whom nobody looks at
    twins.put(replace(held("GROSS", amount=9000), account="bob"))
    twins.on_marks(twins.mark("REALISED", D(50), realisable_share=D(shares[0])))
    place(twins, "alice", "1.3", D(0), relative=False)
    twins.judge("alice", "bob")
    before, figures = twins.fast.exact, twins.figures("alice")
    twins.on_marks(twins.mark("REALISED", D(50), realisable_share=D(shares[1])))
    assert twins.fast.exact <= before + 1
    assert (twins.figures("alice").collateral_value != figures.collateral_value) == (
        min(D("0.9"), D(shares[0])) != min(D("0.9"), D(shares[1]))
    )
    twins.totals()


def test_leaving_routed_account_when_the_clock_moves_then_judged_when_it_has_held_for_long_enough():
    twins = twin_books("funding")
    twins.put(held("GROSS", amount=-1))
    for line in ("1.3", "3"):
        place(twins, "alice", line, D(0), relative=False)
        twins.judge("alice")
    for _ in range(3):
        twins.now_ns += NANOSECONDS
        twins.on_clock(())
    # 2 by hand, and at 1 s and 2 s, when it has held for long enough; until then a box says that it goes on
    assert twins.plain.exact == 4
    assert twins.fast.exact == 3
    assert CROSS not in twins.fast.risk("alice").pools


@pytest.mark.parametrize(("first", "second"), list(product(("0", "0.000001", "40"), repeat=2)))
def test_books_when_an_option_is_worth_nothing_then_its_marks_are_heard(first, second):
    twins = twin_books()
    twins.prime({"CALL": first})
    twins.put(held("CALL|short"))
    twins.put(replace(held("FUTURE", amount=500), account="bob"))
    place(twins, "alice", "1.5", D(0), relative=False)
    twins.judge("alice", "bob")
    for price in (second, first, "0", second, "45", "60"):
        twins.on_marks(twins.mark("CALL", D(price)))
    assert twins.judgements


def test_books_when_an_isolated_position_accrues_funding_then_routed_and_decided_alike():
    state = held("GROSS", isolated=True)
    assert Expressible(policy_of("funding")).reason(state) is Reason.FUNDING
    twins = swept("funding", state)
    assert twins.fast.routed == {Reason.FUNDING: 1}
    assert twins.judgements


DECIDED = {
    MarginRules: (
        "initial maintenance maintenance_fraction tiering notional closing_fee "
        "closing_fee_in_initial taker_fee_rate hedge_legs order_loss profit_weight realisable_profit notional_step "
        "margin_step margin_rounding option"
    ),
    PoolRules: (
        "model haircut_on requirement_rate liabilities conservative_price liquidation_fee_rate "
        "orders_in_maintenance spot_orders order_requirement option_value funding_accrual "
        "funding_grace_seconds"
    ),
    Asset: (
        "index second_source tiers tiers_by cap collateral dust step liability_factor borrow_tiers deposit_scale_start "
        "borrow_scale_start"
    ),
    Instrument: (
        "kind base settle payoff multiplier tiers margin size_rates open_interest expiry strike "
        "right forward interest_rate funding_interval_hours funding_offset_hours quantity_step order_quantity_min "
        "market_order_quantity_max price_step price negative_prices price_scale_min"
    ),
    RiskTier: ("floor maintenance_rate initial_rate deduction"),
    CollateralTier: ("floor ratio"),
    BorrowTier: ("floor initial_rate maintenance_rate"),
    Mark: (
        "symbol price sequence time_ns volatility funding_rate average_price confidence open_interest deposits borrows "
        "potential_deposits realisable_share epoch"
    ),
    AccountState: (
        "account balances positions isolated leverage fills ledger orders margin_model collateral_off "
        "executions conversions funded_ns isolated_funded_ns orders_apart"
    ),
    OpenOrder: ("symbol quantity price isolated reduce_only leg"),
    Prices: ("marks stale time_ns instant aged sourced waiting"),
}
"""Everything figures may depend on that `Expressible` and the columns were written for."""


@pytest.mark.parametrize(("kind", "fields"), DECIDED.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_expressible_when_a_rule_or_fact_is_added_then_somebody_decides_whether_the_columns_know_it(
    kind, fields
):
    """Route it or express it (`engine.book.expressible`), then name it above."""
    assert " ".join(kind.__struct_fields__) == fields
