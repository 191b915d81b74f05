"""Random prices and accounts under a policy: most amounts anywhere, many exactly on an edge."""

from decimal import Decimal
from random import Random

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Instrument, Policy
from engine.position_keys import position_key, symbol_of
from tests.engine.reference.draws import amount, chance, dec, exact_quotient, signed

_ROUND_PRICES = dec("0.5", "1", "2", "10", "50", "100", "1000", "20000")
_NOW_NS = 1_700_000_000_000_000_000
_HOUR_NS = 3600 * 10**9


def draw_prices(random: Random, policy: Policy) -> Prices:
    """Marks for most price symbols, some stale, some never seen."""
    complete = chance(random, 0.6)
    marks, stale = {}, set()
    for symbol in policy.price_symbols:
        if not complete and chance(random, 0.2):
            stale.add(symbol)
            if chance(random, 0.5):
                continue
        marks[symbol] = _mark(random, symbol, policy)
    return Prices(
        marks=marks,
        stale=frozenset(stale),
        time_ns=_NOW_NS + random.choice([0, _HOUR_NS, random.randrange(9 * _HOUR_NS)]),
    )


def _mark(random: Random, symbol: str, policy: Policy) -> Mark:
    price = random.choice(_ROUND_PRICES) if chance(random, 0.5) else amount(random, 7, 4)
    if symbol in policy.price_scales:
        price = random.choice([price, -price, -price, Decimal(0)])
    return Mark(
        symbol=symbol,
        price=price,
        sequence=1,
        time_ns=_NOW_NS,
        funding_rate=signed(random, amount(random, 3, 3).scaleb(-3)) if chance(random, 0.5) else None,
        average_price=price * random.choice(dec("0.9", "1", "1.05")) if chance(random, 0.5) else None,
        open_interest=amount(random) if chance(random, 0.8) else None,
        realisable_share=random.choice([None, *dec("0", "0.3", "0.7", "1")]),
        deposits=_total(random),
        borrows=_total(random),
        potential_deposits=_total(random),
    )


def _total(random: Random) -> Decimal | None:
    """What the exchange holds or owes of an asset; nothing may be said of it."""
    return random.choice([None, Decimal(0), amount(random), amount(random)])


def draw_account(random: Random, policy: Policy, prices: Prices) -> AccountState:
    """An account with balances, positions (legs among them), orders and settings."""
    contracts = [symbol for symbol, it in policy.instruments.items() if it.kind != "spot"]
    held = [symbol for symbol in contracts if chance(random, 0.5)]
    with exact():
        return AccountState(
            account="a",
            balances={
                asset: _balance(random, policy, asset, prices)
                for asset in policy.assets
                if chance(random, 0.6)
            },
            positions=dict(
                _position(random, key, policy, prices) for symbol in held for key in _keys(random, symbol)
            ),
            leverage={
                symbol: random.choice(dec("1", "2", "3", "10", "12.5", "125"))
                for symbol in contracts
                if chance(random, 0.3)
            },
            orders=_orders(random, policy, prices) if chance(random, 0.4) else {},
            collateral_off=tuple(sorted(asset for asset in policy.assets if chance(random, 0.08))),
        )


def _balance(random: Random, policy: Policy, asset: str, prices: Prices) -> Decimal:
    rules = policy.assets[asset]
    if chance(random, 0.6):
        places = 18 if chance(random, 0.1) else 8
        value = amount(random, 8, places)
        return canonical(-value if chance(random, 0.3) else value)
    if rules.borrow_tiers and chance(random, 0.4):
        return -canonical(random.choice(rules.borrow_tiers).floor or Decimal(1))
    edge = random.choice([*(tier.floor for tier in rules.tiers), rules.cap or Decimal(1)]) or Decimal(1)
    mark = prices.marks.get(rules.index)
    coins = exact_quotient(edge, mark.price) if rules.tiers_by == "value" and mark else None
    return canonical(coins or edge)


def _keys(random: Random, symbol: str) -> list[str]:
    if chance(random, 0.7):
        return [symbol]
    return [position_key(symbol, leg) for leg in ("long", "short") if chance(random, 0.8)]


def _position(random: Random, key: str, policy: Policy, prices: Prices) -> tuple[str, Position]:
    symbol = symbol_of(key)
    instrument, mark = policy.instruments[symbol], prices.marks.get(symbol)
    price = mark.price if mark else amount(random, 6, 3)
    quantity = _edge_quantity(random, policy, instrument, price) if chance(random, 0.4) else None
    quantity = signed(random, quantity or amount(random, 6, 4))
    if key != symbol:
        quantity = abs(quantity) if key.endswith("long") else -abs(quantity)
        quantity = random.choice([quantity, Decimal(5).copy_sign(quantity)])
    if chance(random, 0.02):
        quantity = Decimal("1e-18").copy_sign(quantity)
    entry = price * random.choice(dec("1", "0.9", "1.1", "0.5", "1.37", "2"))
    return key, Position(canonical(quantity), canonical(instrument.value(quantity, entry)))


def _edge_quantity(random: Random, policy: Policy, instrument: Instrument, price: Decimal) -> Decimal | None:
    """Contracts whose notional lies exactly on a tier's floor."""
    tiers = policy.tiers.get(instrument.tiers)
    floor = (tiers and random.choice(tiers).floor) or Decimal(100)
    if instrument.inverse:
        return exact_quotient(floor * price, instrument.multiplier)
    with exact():
        return exact_quotient(floor, instrument.scale(price) * instrument.multiplier)


def _orders(random: Random, policy: Policy, prices: Prices) -> dict[str, OpenOrder]:
    return {f"o{i}": _order(random, policy, prices) for i in random.sample(range(20), random.randint(1, 5))}


def _order(random: Random, policy: Policy, prices: Prices) -> OpenOrder:
    symbol = random.choice(list(policy.instruments))
    mark = prices.marks.get(symbol)
    price = mark.price * random.choice(dec("1", "0.95", "1.05", "2")) if mark else amount(random, 6, 3)
    quantity = random.choice([Decimal(5), amount(random, 5, 3)])
    spot = policy.instruments[symbol].kind == "spot"
    return OpenOrder(
        symbol=symbol,
        quantity=canonical(signed(random, quantity)),
        price=canonical(price),
        isolated=not spot and chance(random, 0.1),
        reduce_only=not spot and chance(random, 0.1),
        leg=random.choice([None, None, None, "long", "short"]) if not spot else None,
    )
