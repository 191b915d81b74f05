"""Books decide alike where accounts that the columns cannot express are quiet by boxes."""

import random
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.boxes.keeper import BoxKeeper
from engine.book.boxes.reach import Box
from engine.book.encode import Encoder
from engine.book.timers import Timers
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.policy import Policy
from tests.engine.book import box_policies as boxed
from tests.engine.book import test_book_routing as routing
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.box_policies import CASES, marks_of, trader
from tests.support.instants import at as moment

D = Decimal


def market(policy: Policy, rng: random.Random) -> Twins:
    """Both books, primed with every fact."""
    twins = Twins(policy, {}, primed=False)
    twins.now_ns = boxed.NOW_NS
    marks = marks_of(policy, boxed.START, rng)
    for mark in marks.values():
        twins.prices[mark.symbol] = twins.mark(
            mark.symbol,
            mark.price,
            volatility=mark.volatility,
            funding_rate=mark.funding_rate,
            average_price=mark.average_price,
            open_interest=mark.open_interest,
            realisable_share=mark.realisable_share,
        )
    twins.stale = frozenset(policy.price_symbols) - set(marks)
    for book in (twins.plain, twins.fast):
        book.prime(list(twins.prices.values()), moment(twins.now_ns, twins.stale))
    return twins


SHARE_FACTORS = (*[D(1)] * 8, D("1.001"), D("0.999"), D("0.995"), D("0.97"), D("1.04"))
"""By which the realisable share of a symbol moves from mark to mark: seldom out of its band."""


def tick(twins: Twins, symbol: str, move: Decimal, rng: random.Random) -> Mark:
    """The next mark of a symbol, its facts seldom far from those before."""
    last = twins.prices[symbol]
    facts = D(rng.choice(("1", "1", "1", "1.001", "0.999", "1.03")))
    share = SHARE_FACTORS[last.sequence % len(SHARE_FACTORS)]
    return twins.mark(
        symbol,
        max(last.price * (1 + move), D("1e-9")).quantize(D("1e-12")),
        volatility=(last.volatility * facts).quantize(D("1e-9")),
        funding_rate=(last.funding_rate * facts).quantize(D("1e-12")),
        average_price=(last.average_price * (1 + move / 2)).quantize(D("1e-12")),
        open_interest=D(boxed.INTERESTS[last.sequence % len(boxed.INTERESTS)]),
        realisable_share=min(D(1), (last.realisable_share * share).quantize(D("1e-9"))),
    )


@pytest.mark.parametrize(("units", "pool"), CASES)
def test_books_when_boxed_accounts_live_through_ticks_and_time_then_they_decide_alike(units, pool):
    rng, policy = random.Random(f"twins {units} {pool}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    crowd = [f"account-{i:02}" for i in range(6)]
    for name in crowd:
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.7", "1.55", "1.3", "1.1", "1.01")), D(0), relative=False)
    twins.judge(*crowd)
    for step in range(80):
        twins.now_ns += rng.choice((0, NANOSECONDS, NANOSECONDS, 40 * NANOSECONDS, 700 * NANOSECONDS))
        move = D(rng.choice(("0.0001", "-0.0001", "0.0005", "-0.0007", "0.004", "-0.006", "0.03", "0")))
        twins.on_marks(*(tick(twins, rng.choice(sorted(boxed.START)), move, rng) for _ in range(2)))
        if step % 10 == 0:
            twins.on_clock({symbol for symbol in boxed.START if rng.random() < 0.02})
            name = rng.choice(crowd)
            twins.put(replace(trader(rng, policy), account=name))
            place(twins, name, rng.choice(("1.6", "1.3", "1.06")), D(0), relative=False)
            twins.judge(name)
    assert twins.judgements > 10
    assert sum(twins.fast.routed.values()) == len(crowd)
    assert twins.fast.exact < 0.8 * twins.plain.exact
    twins.totals()


@pytest.mark.parametrize("beside", ["1e-12", "-1e-12", "1e-9", "1e-6", "0.001", "0.05"])
@pytest.mark.parametrize(
    ("units", "pool"), [("mark", "plain"), ("index", "wallet"), ("discount", "conservative")]
)
def test_books_when_accounts_stand_beside_a_line_and_prices_jump_to_the_edges_of_boxes_then_they_decide_alike(
    units, pool, beside
):
    rng, policy = random.Random(f"{units} {pool} {beside}"), boxed.policy_of(units, pool)
    twins = market(policy, rng)
    for i in range(4):
        name = f"account-{i}"
        twins.put(replace(trader(rng, policy), account=name))
        place(twins, name, rng.choice(("1.5", "1.2", "1.05", "1.52")), D(beside), relative=True)
        twins.judge(name)
    book = twins.fast
    for _ in range(30):
        # to the edge of somebody's box, a hair inside or outside of it, or past it
        symbol = rng.choice(sorted(boxed.START))
        floors, ceilings = (
            column[book._table.holders._lists.slice(book._encoder.symbol_ids[symbol])]
            for column in book._table.holders.columns[2:4]
        )
        edges = [float(edge) for edge in (*floors, *ceilings) if 0 < edge < float("inf")]
        before = twins.prices[symbol]
        target = D(repr(rng.choice(edges or [float(before.price)]))) * D(
            rng.choice(("1", "1.0000003", "0.9999997", "1.001"))
        )
        facts = {name: getattr(before, name) for name in ("volatility", "funding_rate", "average_price")}
        twins.on_marks(twins.mark(symbol, target, **facts))
    assert book.exact <= twins.plain.exact


def calm(model: str = "portfolio", **fields) -> AccountState:
    """Ten thousand dollars against positions of a thousand each."""
    positions = {
        "BTC-PERP": Position(D("0.02"), D(1002)),
        "BTC-DEC": Position(D("-0.02"), D(-1010)),
        "BTC-CALL": Position(D("-0.1"), D(-190)),
    }
    return replace(AccountState("alice", {"USD": D(10_000)}, positions, margin_model=model), **fields)


def looks(twins: Twins, *marks: Mark) -> int:
    """Exact judgements that these marks cost the columnar book."""
    before = twins.fast.exact_routed
    twins.on_marks(*marks)
    return twins.fast.exact_routed - before


def boxed_twins(state: AccountState, *, units: str = "mark", pool: str = "plain") -> Twins:
    twins = market(boxed.policy_of(units, pool), random.Random(0))
    twins.put(state)
    twins.judge("alice")
    return twins


def step(twins: Twins, symbol: str, factor: str = "1", **facts: str) -> Mark:
    """The next mark of a symbol: its price by `factor`, and the facts by theirs."""
    last = twins.prices[symbol]
    kept = {name: getattr(last, name) for name in ("volatility", "funding_rate", "average_price")}
    kept |= {name: kept[name] * D(by) for name, by in facts.items()}
    return twins.mark(symbol, last.price * D(factor), **kept)


def test_box_when_prices_stay_inside_then_nobody_looks_and_outside_once():
    twins = boxed_twins(calm())
    assert twins.fast.routed == {"portfolio_model": 1}
    assert (twins.fast.boxed, twins.fast.unboxed, twins.fast.exact) == (1, {}, 1)
    # the widest box is 1/16 to both sides
    assert looks(twins, step(twins, "BTC-PERP", "1.03"), step(twins, "BTC-USD", "0.97")) == 0
    assert looks(twins, step(twins, "BTC-PERP", "1.04")) == 1
    assert looks(twins, step(twins, "BTC-PERP", "0.97"), step(twins, "ETH-PERP", "2")) == 0
    assert twins.fast.boxed == 1


def test_box_when_a_fact_leaves_its_band_then_looked_at_again():
    twins = boxed_twins(calm())
    assert looks(twins, step(twins, "BTC-CALL", volatility="1.015")) == 0
    assert looks(twins, step(twins, "BTC-CALL", volatility="1.015")) == 1
    # the band is around the mark that left the old one
    assert looks(twins, step(twins, "BTC-CALL", volatility="0.985"), step(twins, "BTC-CALL")) == 0
    assert looks(twins, step(twins, "BTC-PERP", volatility="2", funding_rate="9", average_price="3")) == 0
    assert looks(twins, twins.mark("BTC-CALL", twins.prices["BTC-CALL"].price)) == 1
    # a volatility that is missing degrades, and so does one that stays missing
    assert twins.fast.risk("alice").pools[CROSS].degraded


def test_box_when_open_interest_moves_alone_then_nobody_looks_and_initial_margin_follows():
    held = {"ETH-PERP": Position(D(1), D(3000)), "BTC-COIN": Position(D(10), D("0.02"))}
    twins = boxed_twins(calm("cross", positions=held))
    assert (twins.fast.routed, twins.fast.boxed) == ({"realisable_profit": 1}, 1)
    margins = []
    for interest in boxed.INTERESTS:
        kept = ("funding_rate", "average_price", "realisable_share")
        known = {name: getattr(twins.prices["ETH-PERP"], name) for name in kept}
        mark = twins.mark("ETH-PERP", D(3005), **known, open_interest=D(interest))
        assert looks(twins, mark) == 0
        margins.append(twins.figures("alice").initial_margin)
    # 60 * 3,005 lies above the lower cap of 90,000, 10,000 * 3,005 above the upper one
    assert margins == sorted(margins)
    assert len(set(margins)) == len(margins)


def test_box_when_the_losing_side_can_pay_a_little_less_then_nobody_looks_and_when_much_less_somebody_does():
    held = {"ETH-PERP": Position(D(1), D(2500)), "BTC-COIN": Position(D(10), D("0.02"))}
    twins = boxed_twins(calm("cross", positions=held))
    kept = ("funding_rate", "average_price", "open_interest")
    known = {name: getattr(twins.prices["ETH-PERP"], name) for name in kept}

    def share(amount: str) -> Mark:
        return twins.mark("ETH-PERP", D(3005), **known, realisable_share=D(amount))

    looks(twins, share("0.5"))
    assert looks(twins, share("0.5")) == 0
    before = twins.figures("alice").collateral_value
    assert looks(twins, share("0.4955")) == 0
    # a profit of 505
    assert before - twins.figures("alice").collateral_value == D("0.0045") * 505
    assert looks(twins, share("0.4945")) == 1


def test_box_when_time_passes_then_looked_at_again_where_time_matters():
    twins = boxed_twins(calm())
    twins.now_ns += 599 * NANOSECONDS
    assert looks(twins, step(twins, "BTC-PERP")) == 0
    twins.now_ns += NANOSECONDS
    assert looks(twins, step(twins, "BTC-PERP")) == 1
    cross = boxed_twins(calm("cross"))
    cross.now_ns += 10**16
    # every mark but this one is stale by now: that is said, but by no timer
    assert cross.fast._timers.first_ns == 2**63 - 1


def test_box_when_an_expiry_is_near_then_it_ends_there():
    twins = boxed_twins(calm(positions={"BTC-SOON": Position(D("-0.1"), D("-0.0002"))}))
    twins.now_ns = twins.policy.instruments["BTC-SOON"].expiry_ns - 60 * NANOSECONDS
    twins.on_clock(())
    assert looks(twins, step(twins, "BTC-SOON")) == 1
    assert twins.fast._timers.first_ns == twins.policy.instruments["BTC-SOON"].expiry_ns


@pytest.mark.parametrize(
    ("reason", "pool", "state"),
    [
        ("orders_in_maintenance", "orders", routing.held("GROSS", orders=routing.order("GROSS"))),
        ("deposit_or_borrow_scale", "plain", routing.held("FUTURE", coins="CROWD")),
        ("larger_leg_by_steps", "plain", routing.held("LARGER|long", "LARGER|short")),
    ],
)
def test_box_when_no_bound_is_at_hand_then_counted_by_reason_and_judged_at_every_touch(reason, pool, state):
    policy = routing.policy_of(pool)
    if reason == "larger_leg_by_steps":
        stepped = replace(policy.margin["larger"], margin_step=D(1), margin_rounding="up")
        policy = replace(policy, margin={**policy.margin, "larger": stepped})
    twins = Twins(policy, routing.START)
    twins.put(state)
    twins.judge("alice")
    assert (twins.fast.boxed, twins.fast.unboxed) == (0, {reason: 1})
    twins.put(AccountState("alice", {"USD": D(1)}))
    assert twins.fast.unboxed == {}


def test_box_when_an_account_stands_on_its_line_then_near_a_line_and_judged_at_every_touch():
    twins = boxed_twins(calm())
    place(twins, "alice", "1.5", D(0), relative=False)
    twins.judge("alice")
    assert (twins.fast.boxed, twins.fast.unboxed) == (0, {"near_a_line": 1})
    assert looks(twins, step(twins, "BTC-PERP"), step(twins, "BTC-PERP")) == 2


def test_box_when_some_coins_are_dust_then_as_wide_as_without_them():
    policy = boxed.policy_of("mark")
    marks = marks_of(policy, boxed.START, random.Random(0))
    prices = Prices(marks, frozenset(), boxed.NOW_NS)
    hedged = {"ETH-PERP": Position(D("-0.9"), D("-2704.5"))}

    def box_of(**coins: Decimal) -> Box | None:
        state = AccountState("alice", {"USD": D(900), **coins}, hedged, margin_model="portfolio")
        keeper = BoxKeeper(policy, Encoder(policy).need)
        keeper.facts.take(marks.values())
        figures = pool_figures(state, CROSS, prices, policy)
        return keeper.around(0, state, AccountRisk("alice"), figures, prices)

    assert box_of(ETH=D("0.9")) == box_of() is not None


def test_box_when_a_price_is_stale_and_fresh_again_then_looked_at_each_time():
    twins = boxed_twins(calm())
    before = twins.fast.exact_routed
    twins.on_clock({"BTC-USD"})
    twins.on_clock(())
    assert twins.fast.exact_routed == before + 2


def test_timers_when_both_kinds_run_then_each_that_ran_out_is_told_once():
    timers = Timers()
    timers.hold(1, 30)
    timers.box(1, 20)
    timers.box(2, 25)
    timers.box(2, None)
    timers.hold(3, 40)
    assert timers.first_ns == 20
    assert timers.run_out(19) == []
    assert timers.run_out(30) == [1, 1]
    timers.box(4, 2**63 - 1)
    assert (timers.run_out(40), timers.first_ns) == ([3], 2**63 - 1)
