"""The columnar book decides exactly as the plain one: same judgements, same events, same risks, at every step.

Both books get the same operations; after each the judgements and every account's risk record must be equal. The
populations are small and nasty: few symbols, low tier edges, accounts placed on a line or 1e-18 beside it.
"""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS
from engine.inputs import Deposit, Fee, Fill, FundingPayment, IsolatedTransfer, MarginMode, Resume, Topic
from engine.ladder import Band, LadderState
from engine.ladder.states import Controls
from engine.ledger.accounts import AccountState, Position
from engine.ledger.applying import stopped
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import canonical, divide
from engine.policy import Policy, parse
from engine.rejections import RejectionCode
from tests.engine.book.book_twins import Twins, place
from tests.support.builders import account, seconds

D = Decimal

POLICY = """
name = "nasty"
account_currency = "USD"
[prices]
stale_after_seconds = 10
[ladder]
{ladder}
[assets.USD]
[assets.USDT]
index = "USDT-USD"
tiers = [{{ floor = 0, ratio = 0.99 }}, {{ floor = 500, ratio = 0.9 }}]
[assets.BTC]
index = "BTC-USD"
tiers = [{{ floor = 0, ratio = 0.95 }}, {{ floor = 1, ratio = 0.9 }}, {{ floor = 3, ratio = 0.5 }}, {{ floor = 9, ratio = 0 }}]
liability_factor = 1.05
[assets.JUNK]
index = "JUNK-USD"
tiers = [{{ floor = 0, ratio = 0 }}]
liability_factor = 2
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
[[tiers.flat]]
floor = 0
maintenance_rate = 0.1
initial_rate = 0.2
[instruments.BTC-USDT]
kind = "spot"
base = "BTC"
settle = "USDT"
[instruments.A-PERP]
kind = "perpetual"
base = "BTC"
settle = "USDT"
tiers = "low"
[instruments.B-PERP]
kind = "perpetual"
base = "ETH"
settle = "USDT"
multiplier = 10
tiers = "flat"
[instruments.C-PERP]
kind = "perpetual"
base = "ETH"
settle = "USD"
tiers = "low"
[instruments.D-PERP]
kind = "perpetual"
base = "ETH"
settle = "BTC"
multiplier = 0.001
tiers = "flat"
"""

LADDERS = (
    "",
    "exit_hold_seconds = 0\nexit_band = 0",
    "withhold_liquidation_when_degraded = false\nexit_hold_seconds = 0.75",
    "withhold_liquidation_when_degraded = false\nliquidation_confirm_ms = 1500",
)
DUST = {"USDT": D("0.5"), "BTC": D(1), "JUNK": D(9)}
"""Of coins that are worth little: as many of them as a unit, and more."""


def dusty(policy: Policy) -> Policy:
    """The policy with that much dust."""
    assets = {name: replace(it, dust=DUST.get(name, it.dust)) for name, it in policy.assets.items()}
    return replace(policy, assets=assets)


POLICIES = [parse(POLICY.format(ladder=ladder)) for ladder in LADDERS]
POLICIES += [dusty(POLICIES[0]), dusty(POLICIES[-1])]
POLICY_NAMES = ("plain", "no hysteresis", "nothing withheld", "confirmed", "dusty", "dusty and confirmed")
PERPS = ("A-PERP", "B-PERP", "C-PERP", "D-PERP")
INDEXES = ("USDT-USD", "BTC-USD", "JUNK-USD")
ASSETS = ("USD", "USDT", "BTC", "JUNK")
START = {
    "A-PERP": 100,
    "B-PERP": 20,
    "C-PERP": 50,
    "D-PERP": 7,
    "USDT-USD": 1,
    "BTC-USD": 400,
    "JUNK-USD": "0.3",
}
LINES = ("1.5", "1.2", "1.05", "1", "1.52", "1.22", "1.07", "1.02", "0")
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
MOVES = ("1", "1", "1.0001", "0.9999", "1.01", "0.99", "1.1", "0.9", "2", "0.5", "1.000000000000001")
_PLACES = D("1e-18")


def twin_books(policy: Policy, *, primed: bool = True) -> Twins:
    """Both books at the start prices, or without any price."""
    return Twins(policy, START, primed=primed)


names = st.sampled_from(NAMES)
amounts = st.sampled_from(
    (
        "0.000001",
        "0.5",
        "1",
        "1.000000000000000001",
        "3",
        "9",
        "10",
        "50",
        "400",
        "1000",
        "3000",
        "-1",
        "-100",
        "-700",
        "1e15",
    )
).map(D)
quantities = st.sampled_from(("0.000000000000000001", "0.01", "1", "10", "30", "100", "1e12")).map(D)
moves = st.sampled_from(MOVES).map(D)


@st.composite
def fills(draw, name: str):
    symbol = draw(st.sampled_from((*PERPS, *PERPS, "BTC-USDT")))
    mode = draw(st.sampled_from((MarginMode.CROSS, MarginMode.CROSS, MarginMode.ISOLATED)))
    price = D(START.get(symbol, 400)) * draw(moves)
    return Fill(
        account=name,
        time_ns=0,
        trade_id="t",
        symbol=symbol,
        side=draw(st.sampled_from(("buy", "sell"))),
        quantity=draw(quantities),
        price=price,
        fee=draw(st.sampled_from((D(0), D("0.1")))),
        margin_mode=mode,
        margin_transfer=draw(amounts) if mode is MarginMode.ISOLATED and symbol in PERPS else D(0),
    )


def closing(twins: Twins, name: str):
    """A fill that closes the account's first cross position, if it has one."""
    for symbol, held in twins.state(name).positions.items():
        side = "sell" if held.quantity > 0 else "buy"
        price = twins.prices[symbol].price if symbol in twins.prices else D(1)
        return Fill(
            account=name,
            time_ns=0,
            trade_id="c",
            symbol=symbol,
            side=side,
            quantity=abs(held.quantity),
            price=price,
        )
    return None


@st.composite
def entries(draw, name: str):
    head = {"account": name, "entry_id": "e", "time_ns": 0}
    amount = draw(amounts)
    match draw(st.integers(0, 3)):
        case 0:
            return Deposit(**head, asset=draw(st.sampled_from(ASSETS)), amount=amount)
        case 1:
            return Fee(**head, asset=draw(st.sampled_from(ASSETS)), amount=amount)
        case 2:
            return IsolatedTransfer(**head, symbol=draw(st.sampled_from(PERPS)), amount=amount)
        case _:
            mode = draw(st.sampled_from(MarginMode))
            return FundingPayment(
                **head, symbol=draw(st.sampled_from(PERPS)), amount=amount, margin_mode=mode
            )


@st.composite
def risks(draw, name: str):
    """A risk record as a store might hand back."""
    pools = {}
    for pool in draw(st.lists(st.sampled_from((CROSS, *PERPS)), unique=True, max_size=3)):
        band = draw(st.sampled_from(Band))
        since = draw(st.sampled_from((None, None, 0, seconds(3), seconds(60))))
        pools[pool] = LadderState(
            band, None if band is Band.HEALTHY else "episode", draw(st.booleans()), since
        )
        if pools[pool].degraded:
            until_ns = draw(st.sampled_from((None, seconds(3), seconds(60))))
            pools[pool] = replace(pools[pool], degraded_until_ns=until_ns)
    return AccountRisk(name, pools)


def fill_step(data, twins, name) -> None:
    twins.apply(name, data.draw(fills(name)))


def close_step(_data, twins, name) -> None:
    fill = closing(twins, name)
    if fill is not None:
        twins.apply(name, fill)


def entry_step(data, twins, name) -> None:
    twins.apply(name, data.draw(entries(name)))


def marks_step(data, twins, _name) -> None:
    marks = []
    for _ in range(data.draw(st.integers(1, 6))):
        symbol = data.draw(st.sampled_from((*PERPS, *INDEXES)))
        last = twins.prices[symbol].price if symbol in twins.prices else D(START[symbol])
        price = min(max(last * data.draw(moves), _PLACES), D("1e9")).quantize(_PLACES)
        twins.now_ns += data.draw(st.sampled_from((0, 1, NANOSECONDS // 2, 2 * NANOSECONDS)))
        age_ns = data.draw(st.sampled_from((0, 0, 0, seconds(9), seconds(11))))
        marks.append(twins.mark(symbol, price, age_ns))
    twins.on_marks(*marks)


def clock_step(data, twins, _name) -> None:
    twins.now_ns += seconds(data.draw(st.sampled_from((0, 1, 5, 20))))
    twins.on_clock(data.draw(st.sets(st.sampled_from((*PERPS, *INDEXES)), max_size=3)))


def place_step(data, twins, name) -> None:
    beside = D(data.draw(st.sampled_from(("0", "0", "1e-18", "-1e-18", "1e-12", "-1e-12", "1e-9", "-1e-5"))))
    place(twins, name, data.draw(st.sampled_from(LINES)), beside, relative=data.draw(st.booleans()))


def stop_step(_data, twins, name) -> None:
    state = twins.state(name)
    if state.stopped:
        twins.apply(name, Resume(account=name, entry_id="r", time_ns=0, reason="checked"))
    else:
        twins.put(stopped(state, Topic.LEDGER, 0, RejectionCode.UNKNOWN_ASSET, None))


def judge_step(data, twins, _name) -> None:
    twins.judge(*[name for name in twins.plain.accounts() if data.draw(st.booleans())])


def risk_step(data, twins, name) -> None:
    twins.put(twins.state(name), data.draw(risks(name)))


def totals_step(_data, twins, _name) -> None:
    twins.totals()


def prime_step(data, twins, _name) -> None:
    twins.prime({symbol: START[symbol] for symbol in data.draw(st.sets(st.sampled_from(sorted(START))))})


def reload_step(data, twins, _name) -> None:
    twins.reload(
        data.draw(st.integers(0, 3)), judged=data.draw(st.booleans()), packed=data.draw(st.booleans())
    )


STEPS = (
    *[fill_step] * 3,
    *[entry_step] * 4,
    *[marks_step] * 8,
    *[clock_step] * 2,
    *[place_step] * 4,
    *[stop_step] * 2,
    judge_step,
    risk_step,
    totals_step,
    close_step,
    prime_step,
    *[reload_step] * 2,
)


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_books_when_inputs_marks_and_clocks_interleave_at_random_then_they_decide_alike(data):
    twins = twin_books(data.draw(st.sampled_from(POLICIES)), primed=data.draw(st.booleans()))
    for _ in range(data.draw(st.integers(10, 60))):
        data.draw(st.sampled_from(STEPS))(data, twins, data.draw(names))
    twins.totals()


def holding(name: str, *, usd: str = "100", **quantities: str) -> AccountState:
    """Cross positions opened at the start prices, and some USD."""
    held = {
        symbol.replace("_", "-"): (quantity, START[symbol.replace("_", "-")])
        for symbol, quantity in quantities.items()
    }
    state = account({"USD": usd}, held, name=name)
    return AccountState(
        name, state.balances, {symbol: multiplied(symbol, it) for symbol, it in state.positions.items()}
    )


def multiplied(symbol: str, held: Position) -> Position:
    """The position with the contract's multiplier in its entry value."""
    return Position(held.quantity, canonical(held.entry_value * POLICIES[0].instruments[symbol].multiplier))


@pytest.mark.parametrize("beside", ["0", "1e-18", "-1e-18", "1e-13", "-1e-13"])
@pytest.mark.parametrize("line", LINES)
def test_books_when_an_account_stands_on_or_within_1e_12_of_a_line_then_they_decide_alike(line, beside):
    for start in ("1.6", "1.3", "1.1", "1.01", "0.5"):  # every band to come from
        twins = twin_books(POLICIES[1])
        twins.put(holding("alice", A_PERP="7", C_PERP="-3"))
        place(twins, "alice", start, D(0), relative=False)
        twins.judge("alice")
        place(twins, "alice", line, D(beside), relative=True)
        for symbol, there in (("A-PERP", "100.5"), ("C-PERP", "50.1"), ("USDT-USD", "1.0002")):
            # the same price under a new sequence, away, and back
            back = twins.prices[symbol].price
            for price in (back, D(there), back, back):
                twins.now_ns += 1
                twins.on_marks(twins.mark(symbol, price))


@pytest.mark.parametrize("quantity", ["1e-18", "1e-9", "1", "1e9", "1e18"])
def test_books_when_a_notional_crosses_tier_edges_exactly_then_they_decide_alike(quantity):
    twins = twin_books(POLICIES[1])
    twins.put(holding("alice", A_PERP=quantity, usd=str(D(quantity) * 100)))
    twins.put(holding("bob", A_PERP=f"-{quantity}", usd=str(D(quantity) * 100)))
    for notional in ("999.99", "1000", "1000.01", "3000", "2999", "3001", "500"):
        price = divide(D(notional), D(quantity))
        twins.on_marks(
            twins.mark("A-PERP", price), twins.mark("USDT-USD", D("1.01")), twins.mark("USDT-USD", D(1))
        )


def test_books_when_collateral_sits_on_its_tier_edges_then_an_index_tick_decides_alike():
    twins = twin_books(POLICIES[1])
    for name, coins in zip(
        NAMES, ("1", "3", "9", "0.999999999999999999", "3.000000000000000001", "-2"), strict=True
    ):
        twins.put(
            account({"BTC": coins, "USD": 2_000 if coins == "-2" else 0}, {"C-PERP": ("100", 50)}, name=name)
        )
        place(twins, name, "1.5", D("1e-18"), relative=False)
    for price in (400, 399, 401, 400, 200, 1_000, 400):
        twins.on_marks(twins.mark("BTC-USD", D(price)))
    assert twins.judgements


def test_books_when_only_an_index_price_moves_then_its_holders_are_judged():
    twins = twin_books(POLICIES[0])
    twins.put(account({"BTC": 5}, {"C-PERP": (20, 50)}, name="alice"))
    twins.judge("alice")
    for price in (
        300,
        100,
        20,
        5,
        3,
        D("2.5"),
    ):  # C = (1 * 0.95 + 2 * 0.9 + 2 * 0.5) * price, MM = 0.05 * 1000 - 40 = 10
        twins.on_marks(twins.mark("BTC-USD", D(price)))
    assert twins.fast.risk("alice").pools[CROSS].band is Band.LIQUIDATION


@pytest.mark.parametrize("dust", ["0.99", "1", "4.999999999999999999"])
def test_books_when_coins_of_which_some_are_dust_fall_then_their_holders_are_judged(dust):
    policy = POLICIES[0]
    policy = replace(policy, assets={**policy.assets, "BTC": replace(policy.assets["BTC"], dust=D(dust))})
    twins = twin_books(policy)
    twins.put(account({"BTC": 5}, {"C-PERP": (20, 50)}, name="alice"))
    twins.judge("alice")
    twins.on_marks(twins.mark("BTC-USD", D(2)))
    assert twins.fast.risk("alice").pools[CROSS].band is Band.LIQUIDATION


def test_books_when_a_liquidation_waits_to_be_confirmed_and_doubt_ends_then_that_is_said():
    twins = twin_books(POLICIES[3])
    twins.put(holding("alice", C_PERP="20", usd="5"))
    twins.on_clock({"C-PERP"})
    waiting = twins.fast.risk("alice").pools[CROSS]
    assert (waiting.degraded, waiting.crossed_since_ns) == (True, 0)
    twins.stale = frozenset()
    twins.on_marks(twins.mark("C-PERP", D("50.01")))
    assert not twins.fast.risk("alice").pools[CROSS].degraded


def test_books_when_prices_tick_twenty_thousand_times_then_nothing_drifts():
    twins = twin_books(POLICIES[0])
    twins.put(holding("alice", A_PERP="7", B_PERP="-3", C_PERP="11", usd="330"))
    twins.put(holding("bob", A_PERP="-5", usd="150"))
    place(twins, "bob", "1.5", D("1e-9"), relative=True)
    price = D(100)
    for tick in range(200):
        marks = []
        for step_of in range(100):
            up = (tick * 100 + step_of) * 7919 % 1009 < 505
            price = (price * (D("1.0003") if up else D("0.9997"))).quantize(D("1e-9"))
            twins.now_ns += NANOSECONDS // 50
            marks.append(twins.mark("A-PERP", price))
        twins.on_marks(*marks)
    assert twins.judgements
    twins.totals()


def test_books_when_many_accounts_come_and_go_then_bounds_stay_with_their_accounts():
    twins = twin_books(POLICIES[1])
    crowd = [f"account-{i:03}" for i in range(200)]
    for i, name in enumerate(crowd):
        twins.put(holding(name, A_PERP=str(1 + i % 7), usd=str(20 + i)))
    twins.judge(*crowd)
    for i, name in enumerate(crowd):
        if i % 3 == 0:
            twins.apply(name, closing(twins, name))
    for i, name in enumerate(crowd):
        if i % 5 == 0:
            twins.put(holding(name, A_PERP="-3", B_PERP="1", usd=str(90 + i)))
    for price in (99, 90, 80, 120, 70, 60, 150, 100, 30):
        twins.on_marks(twins.mark("A-PERP", D(price)), twins.mark("B-PERP", D(price) / 5))
    assert twins.judgements > len(crowd)
    twins.totals()


def test_columnar_book_when_accounts_are_far_from_every_line_then_ticks_reach_neither_sums_nor_the_judge():
    twins = twin_books(POLICIES[0])
    for i in range(100):
        twins.put(holding(f"account-{i:02}", A_PERP="1", C_PERP="-1", usd="5000"))
    for tick in range(100):
        twins.on_marks(twins.mark("A-PERP", D(100) + D(tick) / 100))
    book = twins.fast
    assert (book.screened, book.examined, book.exact) == (100 * 100, 0, 0)


def test_columnar_book_when_an_account_hovers_on_a_line_then_an_unchanged_price_is_not_judged_again():
    twins = twin_books(POLICIES[0])
    twins.put(holding("alice", C_PERP="1"))
    place(twins, "alice", "1.5", D(0), relative=False)
    twins.judge("alice")
    before = twins.fast.exact
    for _ in range(50):
        twins.on_marks(twins.mark("C-PERP", D(START["C-PERP"])))
    assert twins.fast.exact == before


def test_columnar_book_when_a_hold_timer_runs_then_it_is_judged_only_when_it_runs_out():
    twins = twin_books(POLICIES[0])
    twins.put(holding("alice", C_PERP="1", usd="-1"))
    place(twins, "alice", "1.3", D(0), relative=False)
    twins.judge("alice")
    place(twins, "alice", "3", D(0), relative=False)
    twins.judge("alice")
    assert twins.fast.risk("alice").pools[CROSS].exit_since_ns is not None
    before = twins.fast.exact
    for tick in range(49):
        twins.now_ns += NANOSECONDS // 10
        twins.on_marks(twins.mark("C-PERP", D(50) + D(tick) / 1000))
    assert twins.fast.exact == before
    twins.now_ns += NANOSECONDS
    twins.on_clock(())
    assert CROSS not in twins.fast.risk("alice").pools


@pytest.mark.parametrize("stale", [set(), {"C-PERP"}])
def test_books_when_a_bankrupt_account_on_its_way_out_falls_back_to_liquidation_then_they_decide_alike(stale):
    twins = twin_books(POLICIES[0])
    twins.put(holding("alice", A_PERP="1", C_PERP="-1", usd="-20"))
    twins.judge("alice")
    assert twins.fast.risk("alice").pools[CROSS].band is Band.BANKRUPT
    twins.on_clock(stale)
    # out of every band for a second, at half the maintenance margin for a second, and out again
    for line in ("3", "0.5", "3"):
        place(twins, "alice", line, D(0), relative=False)
        # from another ratio, by a price alone
        twins.on_marks(twins.mark("A-PERP", D(101)), twins.mark("A-PERP", D(100)))
        twins.now_ns += NANOSECONDS
        twins.on_clock(stale)


@pytest.mark.parametrize("stale", [(), ("C-PERP",)])
def test_books_when_a_running_hold_timer_meets_a_price_that_ends_it_then_they_decide_alike(stale):
    twins = twin_books(POLICIES[0])
    twins.put(holding("alice", A_PERP="1", usd="-20"))
    twins.put(holding("bob", A_PERP="1", C_PERP="-1", usd="-20"))
    twins.judge("alice", "bob")
    twins.on_clock(stale)
    # equity = quantity * (price - 100) - 20: bankrupt, well above every line, in liquidation, well again
    for price in ("100", "130", "121", "120.7", "120.1", "130", "100", "140"):
        twins.on_marks(twins.mark("A-PERP", D(price)))
        twins.now_ns += NANOSECONDS
        twins.on_clock(stale)
    assert twins.fast.risk("bob").pools[CROSS].degraded is bool(stale)


def test_books_when_primed_after_a_hold_timer_ran_out_then_the_next_judgement_lets_it_go():
    twins = twin_books(POLICIES[0])
    since_start = LadderState(Band.MARGIN_CALL, "episode", exit_since_ns=0)
    twins.put(holding("alice", C_PERP="1", usd="1000"), AccountRisk("alice", {CROSS: since_start}))
    twins.now_ns = seconds(6)
    twins.prime(START)
    twins.judge("alice")
    assert CROSS not in twins.fast.risk("alice").pools


@pytest.mark.parametrize("band", [Band.MARGIN_CALL, Band.REDUCE_ONLY])
def test_books_when_a_record_says_nothing_of_what_its_account_was_told_then_both_find_it_at_the_next_mark(
    band,
):
    twins = twin_books(POLICIES[0])
    # on its way out for a moment: nothing but what it was told can change, and it was stored before that was said
    leaving = LadderState(band, "episode", exit_since_ns=0, checked_ns=0)
    twins.put(holding("alice", C_PERP="1", usd="1000"), AccountRisk("alice", {CROSS: leaving}))
    twins.on_marks(twins.mark("C-PERP", D("100.1")))
    assert twins.fast.risk("alice").pools[CROSS].controls is not Controls.TRADE_AND_WITHDRAW


def test_totals_when_ratios_are_off_the_edges_then_counts_below_them_are_exact():
    twins = twin_books(POLICIES[0])
    for i, ratio in enumerate(("0.5", "0.9", "1.01", "1.3", "7")):
        twins.put(holding(NAMES[i], C_PERP="4"))
        place(twins, NAMES[i], ratio, D(0), relative=False)
    twins.put(account({"USD": -5}, name="frank"))  # no requirement, no ratio
    edges = [D("0.7"), D(1), D("1.2"), D(100)]
    below = twins.fast.totals(edges).accounts_below_ratio
    assert (
        below == twins.plain.totals(edges).accounts_below_ratio == dict(zip(edges, (1, 2, 3, 5), strict=True))
    )
