"""Bounds of boxes hold wherever prices, time and facts go within them."""

import random
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.boxes import charge_swings, series_swings, swing
from engine.book.boxes import reach as reaches
from engine.book.boxes.mark_facts import Facts
from engine.book.boxes.swing import UnboundedError
from engine.book.boxes.swing_view import View
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.margin.dust import without_dust
from engine.margin.options.black76 import OptionQuote, option_greeks
from engine.margin.portfolio.contingencies import offsets
from engine.marks.mark_book import Prices
from engine.policy import Policy
from tests.engine.book import box_policies as boxed
from tests.engine.book import test_book_routing as routing
from tests.engine.book.box_policies import CASES, marks_of, trader

D = Decimal


def moved(mark: Mark, width: float, rng: random.Random) -> Mark:
    """The mark with its price within `width`, at an end more often than not, and its facts within their bands."""
    share = D(repr(width * rng.choice((-1, 1, rng.uniform(-1, 1)))))
    return replace(
        mark,
        price=(mark.price * (1 + share)).quantize(D("1e-15")),
        volatility=mark.volatility * D(rng.choice(("0.98", "1", "1.02"))),
        funding_rate=mark.funding_rate * D(rng.choice(("-2", "1", "2"))),
        average_price=mark.average_price * D(rng.choice(("0.995", "1", "1.005"))),
        open_interest=D(rng.choice(boxed.INTERESTS)),
        realisable_share=mark.realisable_share
        and min(D(1), mark.realisable_share * D(rng.choice(("0.99", "1", "1.01")))),
    )


def assert_bounds_hold(
    state: AccountState, policy: Policy, start, rng: random.Random, trials: int = 12
) -> int:
    """Compare exact figures anywhere in boxes with the bounds; returns how many figures were compared."""
    state = without_dust(state, policy)
    marks, facts = marks_of(policy, start, rng), Facts(policy)
    facts.take(marks.values())
    prices = Prices(marks, frozenset(), boxed.NOW_NS)
    until_ns = min(reaches._until_ns(state, prices, policy), boxed.NOW_NS + 10**15)
    compared = 0
    for pool in (CROSS, *state.isolated):
        before = pool_figures(state, pool, prices, policy)
        reach = rng.choice((*reaches.REACHES, 1e-6))
        try:
            bounds = reaches._swings(state, pool, View(policy, prices, facts, reach, until_ns))
        except UnboundedError:
            continue
        for _ in range(trials):
            width = reach * rng.choice((1, 1, 0.3, 0.01, 0))
            elsewhere = {symbol: moved(mark, width, rng) for symbol, mark in marks.items()}
            at_ns = rng.choice((boxed.NOW_NS, until_ns - 1, rng.randrange(boxed.NOW_NS, until_ns)))
            after = pool_figures(state, pool, Prices(elsewhere, frozenset(), at_ns), policy)
            for name in ("equity", "collateral_value", "requirement"):
                was, now = float(getattr(before, name)), float(getattr(after, name))
                bound = getattr(bounds, "collateral" if name == "collateral_value" else name)
                noise = reaches._MARGIN * (abs(was) + bound.slope + bound.drift)
                assert abs(now - was) <= bound.slope * width + bound.drift + noise, (name, pool, width)
                assert bound.low - noise <= now <= bound.high + noise, (name, pool, width)
                compared += 1
    return compared


@pytest.mark.parametrize(("units", "pool"), CASES)
def test_bounds_when_prices_time_and_facts_go_anywhere_in_the_box_then_figures_stay_within(units, pool):
    rng, policy = random.Random(f"{units} {pool}"), boxed.policy_of(units, pool)
    compared = sum(assert_bounds_hold(trader(rng, policy), policy, boxed.START, rng) for _ in range(60))
    assert compared > 1500


@pytest.mark.parametrize("pool", routing.POOLS)
@pytest.mark.parametrize(("reason", "of_pool", "state"), routing.ROUTED)
def test_bounds_when_rules_are_odd_then_figures_stay_within(reason, of_pool, state, pool):
    rng = random.Random(f"{reason} {of_pool} {pool}")
    policy = routing.policy_of(pool)
    assert_bounds_hold(state, policy, routing.START, rng, trials=20)


@pytest.mark.parametrize("size", ["19.9", "20", "20.1", "59.9", "60", "60.3", "61"])
@pytest.mark.parametrize("symbol", ["FLAT", "JUMPING", "LEVERAGED", "GROSS", "NET", "SIZE"])
def test_bounds_when_a_tier_edge_is_in_the_box_then_what_jumps_there_is_within(symbol, size):
    # edges at notionals of 1000 and 3000, the mark is 50
    rng, policy = random.Random(f"{symbol} {size}"), routing.policy_of("plain")
    position = Position(D(size), D(size) * 50)
    state = AccountState("alice", {"USD": D(500)}, {symbol: position}, leverage={"LEVERAGED": D(2)})
    assert assert_bounds_hold(state, policy, routing.START, rng, trials=40) == 120


@pytest.mark.parametrize("seed", range(200))
def test_greeks_when_forward_volatility_and_time_go_anywhere_then_within_their_bounds(seed):
    rng = random.Random(seed)
    forward, width = 100.0, rng.choice((1e-3, 1e-2, 1 / 16))
    volatility, seconds = rng.choice((0.05, 0.5, 2.0)), rng.choice((60.0, 3600.0, 86_400.0, 1e7))
    volatilities, terms = (volatility * 0.98, volatility * 1.02), (max(0.0, seconds - 600), seconds)
    held = series_swings.Series(
        size=rng.choice((-3.0, 2.0)),
        call=rng.random() < 0.5,
        strike=forward * rng.choice((0.7, 0.98, 1.0, 1.001, 1.3)),
        forward=swing.price(forward, width),
        underlying=swing.price(forward, width),
        volatility=volatilities,
        seconds=terms,
        rate=0.05,
        own_rate=0.05,
        expiry="",
        settle="USD",
    )

    def greeks(at: float, vol: float, left: float) -> tuple[float, float]:
        quote = OptionQuote(
            right="call" if held.call else "put",
            strike=D(repr(held.strike)),
            forward=D(repr(at)),
            volatility=D(repr(vol)),
            seconds_to_expiry=D(repr(left)),
            rate=D("0.05"),
        )
        found = option_greeks(quote)
        return held.size * float(found.delta) * at, held.size * float(found.vega)

    before = greeks(forward, volatility, seconds)
    bounds = series_swings.delta_value(held), series_swings.vega_value(held)
    for _ in range(20):
        share = width * rng.choice((1, 0.1, 0.01, 0))
        after = greeks(
            forward * (1 + share * rng.choice((-1, 1))),
            rng.choice((*volatilities, volatility)),
            rng.choice(terms),
        )
        for was, now, bound in zip(before, after, bounds, strict=True):
            assert abs(now - was) <= bound.slope * share + bound.drift + 1e-9
            assert bound.low - 1e-9 <= now <= bound.high + 1e-9


@pytest.mark.parametrize("seed", range(100))
def test_offset_charge_when_groups_change_then_within_its_bound(seed):
    rng = random.Random(seed)
    days = rng.sample(range(400), rng.choice((2, 3, 5, 8)))
    amounts = [rng.choice((-1, 1)) * rng.uniform(0.1, 5) for _ in days]

    def charge(found: list[float]) -> float:
        pairs = offsets([(D(day), D(repr(amount))) for day, amount in zip(days, found, strict=True)])
        return sum(float(amount) * (0.01 + 0.0003 * float(between)) for amount, between in pairs)

    groups = [swing.Swing(min(it * 0.5, it * 1.5), max(it * 0.5, it * 1.5), abs(it)) for it in amounts]
    bound = charge_swings._offset(groups, 0.01 + 0.0003 * (max(days) - min(days)), 0.0)
    for _ in range(30):
        width = rng.choice((0.5, 0.1, 0.001))
        after = charge([it * (1 + width * rng.choice((-1, 1, rng.uniform(-1, 1)))) for it in amounts])
        assert abs(after - charge(amounts)) <= bound.slope * width + 1e-12
        assert bound.low <= after <= bound.high + 1e-12
