"""Policies with every rule that boxes bound, and accounts and marks for them: for `test_box_bounds` and `test_book_boxes`."""

import functools
import random
from decimal import Decimal

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, IsolatedPosition, OpenOrder, Position
from engine.policy import Policy, parse

D = Decimal

_HEAD = """
name = "boxes"
account_currency = "USD"
[pool]
{pool}
[ladder]
exit_hold_seconds = 2
[assets.USD]
[assets.USDT]
index = "USDT-USD"
tiers = [{{ floor = 0, ratio = 0.99 }}, {{ floor = 5000, ratio = 0.9 }}]
borrow_tiers = [
  {{ floor = 0, initial_rate = 0.1, maintenance_rate = 0.05 }},
  {{ floor = 1000, initial_rate = 0.2, maintenance_rate = 0.1 }},
]
[assets.BTC]
index = "BTC-USD"
tiers = [{{ floor = 0, ratio = 0.95 }}, {{ floor = 2, ratio = 0.8 }}]
liability_factor = 1.1
[assets.ETH]
index = "ETH-USD"
dust = 1
tiers_by = "value"
tiers = [{{ floor = 0, ratio = 0.9 }}, {{ floor = 9000, ratio = 0.5 }}]
[[tiers.one]]
floor = 0
maintenance_rate = 0.01
initial_rate = 0.02
[[tiers.one]]
floor = 20000
maintenance_rate = 0.05
initial_rate = 0.1
[margin.options]
option = "short"
[margin.realisable]
profit_weight = 0.9
realisable_profit = true
[option_margin.short]
initial_rate = 0.15
initial_floor_rate = 0.1
call_maintenance_rate = 0.075
put_maintenance_rate = 0.05
put_maintenance_value_rate = 0.5
liquidation_fee_rate = 0.002
{options}
"""
_CONTRACT = """
[instruments.{name}]
kind = "{kind}"
base = "{base}"
settle = "{settle}"
payoff = "{payoff}"
multiplier = {multiplier}
tiers = "one"
{more}
"""
_OPTION = """
[instruments.{name}]
kind = "option"
base = "{base}"
settle = "{settle}"
margin = "options"
strike = {strike}
right = "{right}"
expiry = {expiry}
interest_rate = {rate}
{more}
price = {{ zero_allowed = true }}
"""
CONTRACTS = {
    "BTC-PERP": ("perpetual", "BTC", "USDT", "linear", 1, ""),
    "BTC-COIN": ("perpetual", "BTC", "BTC", "inverse", 100, ""),
    "BTC-DEC": (
        "future",
        "BTC",
        "USD",
        "linear",
        1,
        'expiry = 2026-12-25T08:00:00Z\nmargin = "realisable"',
    ),
    "ETH-PERP": (
        "perpetual",
        "ETH",
        "USD",
        "linear",
        1,
        'open_interest = { lower_cap = 90000, upper_cap = 900000 }\nmargin = "realisable"',
    ),
    "ETH-COIN": ("future", "ETH", "ETH", "inverse", 10, "expiry = 2026-12-04T08:00:00Z"),
}
OPTIONS = {
    "BTC-CALL": ("BTC", "USD", 52000, "call", "2026-12-25T08:00:00Z", "0.03", 'forward = "BTC-FWD"'),
    "BTC-PUT": ("BTC", "USDT", 45000, "put", "2026-12-04T08:00:00Z", "0", ""),
    "BTC-SOON": ("BTC", "BTC", 50500, "call", "2026-12-01T09:00:00Z", "0", ""),
    "ETH-CALL": ("ETH", "USD", 3300, "call", "2026-12-25T08:00:00Z", "0", ""),
    "ETH-PUT": ("ETH", "USD", 2500, "put", "2027-06-25T08:00:00Z", "-0.01", ""),
}
START = {
    "USDT-USD": "0.999",
    "BTC-USD": "50000",
    "ETH-USD": "3000",
    "BTC-PERP": "50100",
    "BTC-COIN": "49900",
    "BTC-DEC": "50500",
    "BTC-FWD": "50400",
    "ETH-PERP": "3005",
    "ETH-COIN": "2995",
    "BTC-CALL": "1900",
    "BTC-PUT": "200",
    "BTC-SOON": "0.002",
    "ETH-CALL": "90",
    "ETH-PUT": "180",
}
VOLATILITY = {"BTC-CALL": "0.55", "BTC-PUT": "0.6", "BTC-SOON": "0.7", "ETH-CALL": "0.75", "ETH-PUT": "0.8"}
INTERESTS = (0, 60, 100, 10_000)
"""Below, between and above the caps of `ETH-PERP`; they move no line, so that no box has a band for them."""
SHARES = ("0", "0.4", "0.89", "0.905", "1")
"""Below, about and above the profit weight of whose profits count as far as they are realisable."""
NOW_NS = 1_796_112_000 * 1_000_000_000
"""2026-12-01T08:00:00Z."""

_GRID = 'grid = { prices = [-0.16, -0.08, 0, 0.08, 0.16], volatilities = ["up", "none", "down"] }\n'
_TAILS = 'scenarios = [{ price = -0.5, volatility = "up", weight = 0.3, dampener = 100 }, { price = 1, weight = 0.2, days = 2 }]\n'
_VOL = "volatility = { up = 0.5, down = 0.3, short_term_power = 0.3, long_term_power = 0.13, up_volatility_min = 0.5 }\n"
UNITS = {
    "mark": _GRID
    + _TAILS
    + _VOL
    + """
basis = { move_min = 0.002, annualised_move = 0.05 }
short_option = { rate = { maintenance = 0.005 } }
minimum = { delta_one_rate = 0.01, option_rate = 0.01, tiers = [{ floor = 0, multiplier = 1 }, { floor = 900, multiplier = 3 }] }
settle_hedges = [{ first = "USDT", second = "USD", rate = 0.002, tiers = [{ floor = 0, multiplier = 1 }, { floor = 400, multiplier = 4 }] }, { first = "BTC", second = "USD", rate = 0.01 }]
""",
    "index": _GRID
    + """
shock_on = "index"
inverse_conversion = "current"
settlement_seconds = 7200
rate_min = 0
total = "sum"
volatility = { mode = "absolute", up = 0.3, down = 0.2, steps = [{ days_floor = 0, up = 0.4, down = 0.3 }, { days_floor = 20, up = 0.2, down = 0.1 }] }
basis = { move_min = 0.002, annualised_move = 0.05, compounding = "linear", netting = "hedged", spot = false }
vega = { move_min = 0.01, move_per_day = 0.0003 }
delta_one = { rate = { maintenance = 0.001 }, price = "index" }
liquidity = { threshold = 20000, slope = 0.000001, rate_max = 0.05 }
interest = { shift = 0.02 }
minimum = { delta_one_rate = 0.01 }
""",
    "discount": _GRID
    + """
expiry_discount = { long_factor = 0.98, long_rate_addition = 0.1, short_factor = 1.02, short_rate_addition = 0.2 }
forward = { prices = [-0.05, 0.05], factor_base = 1, factor_per_year = 0.5 }
loss_factor = { maintenance = 1.3 }
basis = { move_min = 0.001, netting = "hedged" }
short_option = { rate = { maintenance = 0.005 }, netting = "none" }
""",
}
_PAIR = '[[portfolio.correlations]]\nfirst = "BTC"\nsecond = "ETH"\nrate = 0.6\ncap = 0.5\n'
_PEG = '[portfolio.peg]\nasset = "USDT"\nthreshold = 1\nrate = { maintenance = 3 }\n'
POOLS = {
    "plain": "",
    "wallet": 'haircut_on = "wallet"\nliabilities = "requirement"\nrequirement_rate = "liability"\norder_requirement = 0.5',
    "conservative": 'conservative_price = true\nfunding_accrual = true\nliquidation_fee_rate = 0.01\noption_value = "collateral"',
}
_SPREADS = 'sides = "larger"\nspreads = "max_loss"\nunpaired_calls = { maintenance = 0.1 }'


@functools.cache
def policy_of(units: str, pool: str = "plain") -> Policy:
    """The policy with these units and this pool."""
    text = _HEAD.format(pool=POOLS[pool], options="" if pool == "plain" else _SPREADS)
    for name, (kind, base, settle, payoff, multiplier, more) in CONTRACTS.items():
        text += _CONTRACT.format(
            name=name, kind=kind, base=base, settle=settle, payoff=payoff, multiplier=multiplier, more=more
        )
    for name, (base, settle, strike, right, expiry, rate, more) in OPTIONS.items():
        text += _OPTION.format(
            name=name,
            base=base,
            settle=settle,
            strike=strike,
            right=right,
            expiry=expiry,
            rate=rate,
            more=more,
        )
    other = "[portfolio.units.ETH]\n" + UNITS[units] + "loss_factor = { maintenance = 1.1 }\n"
    if "loss_factor" in UNITS[units]:
        other = "[portfolio.units.ETH]\n" + UNITS[units]
    factor = "[portfolio]\nmaintenance_factor = 0.9\ninitial_factor = 1.2\n"
    return parse(text + factor + "[portfolio.units.default]\n" + UNITS[units] + other + _PAIR + _PEG)


def marks_of(policy: Policy, start, rng: random.Random) -> dict[str, Mark]:
    """First marks, with every fact that an exchange may tell."""
    return {
        symbol: Mark(
            symbol,
            D(start[symbol]),
            1,
            NOW_NS,
            volatility=D(VOLATILITY.get(symbol, "0.5")),
            funding_rate=D(rng.choice(("0.0001", "-0.003", "0"))),
            average_price=D(start[symbol]) * D(rng.choice(("0.99", "1", "1.01"))),
            open_interest=D(INTERESTS[len(symbol) % len(INTERESTS)]),
            realisable_share=D(SHARES[len(symbol) % len(SHARES)]),
        )
        for symbol in policy.price_symbols
        if symbol in start
    }


def trader(rng: random.Random, policy: Policy) -> AccountState:
    """A few positions on a few underlyings, coins and debts."""
    positions = {}
    for symbol in rng.sample([*CONTRACTS, *OPTIONS], rng.choice((1, 2, 3, 5))):
        listed, price = policy.instruments[symbol], D(START[symbol])
        worth = D(rng.choice((300, 3000, 25_000))) * rng.choice((1, -1))
        size = worth / 100 if listed.inverse else worth / (50_000 if listed.base == "BTC" else 3000)
        size = size.quantize(D("0.0001"))
        positions[symbol] = Position(
            size, D(repr(float(listed.value(size, price)))) * D(rng.choice(("0.9", "1", "1.1")))
        )
    balances = {
        asset: D(rng.choice(amounts))
        for asset, amounts in {
            "USD": (2000, 9000, -500),
            "USDT": (0, 4000, 5000, -900, -3000),
            "BTC": (0, 0, "0.3", "2.1", "-0.1"),
            "ETH": (0, "0.9", 2, 4, "-1.1"),
        }.items()
    }
    isolated = {}
    if rng.random() < 0.2:
        key = next((symbol for symbol in positions if symbol in CONTRACTS), None)
        if key:
            position = positions.pop(key)
            isolated[key] = IsolatedPosition(position, abs(position.entry_value) / 5)
    orders = {"o": OpenOrder("BTC-PERP", D(1), D(50_000))} if rng.random() < 0.2 else {}
    held = {asset: amount for asset, amount in balances.items() if amount}
    model = rng.choice(("cross", "portfolio", "portfolio", "portfolio"))
    off = ("BTC",) if rng.random() < 0.1 else ()
    return AccountState(
        "alice", held, positions, isolated, orders=orders, margin_model=model, collateral_off=off
    )


CASES = [(units, pool) for units in UNITS for pool in POOLS]
