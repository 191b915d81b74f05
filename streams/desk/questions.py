"""What a client may send: the bodies of questions, strict, amounts as strings."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from engine.analytics.hypothetical import (
    Hypothetical,
    account_of,
    check_hypothetical,
    prices_of,
)
from engine.events.effects import AccountRisk
from engine.inputs import Name
from engine.ledger.accounts import OpenOrder
from engine.numbers import ONE, amount_fault, canonical
from engine.policy import Policy
from engine.policy.rules.requirements import amounts_of
from streams.answers.account_read import AccountReading, account_reading
from streams.answers.account_report import believed
from streams.answers.asked_changes import AskedDeposit, AskedOrder, AskedShock, check_shocks
from streams.answers.order_report import HedgeLeg, Side
from streams.answers.shelf import Shelf, newest_marks
from streams.answers.whatif_report import Asked
from streams.desk.problem_details import mistaken

CHANGES_MAX = 100
"""Deposits, orders or shocks of one question: each costs the account's figures anew."""
HOLDINGS_MAX = 2_000
"""Balances, positions and orders of a portfolio: more than any account of an exchange has."""
NEAR_NAMES_MAX = 5_000
"""Accounts of which a mistyped name may be one: comparing them takes 0.1 s, for which nobody else is answered."""
NOWHERE = -1
"""The shard of an account that nobody has."""


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class OrderQuestion(_Body, frozen=True, kw_only=True):
    """An order that somebody thinks of."""

    symbol: Name
    side: Side
    quantity: Decimal
    price: Decimal
    leg: HedgeLeg | None = None
    isolated: bool = False
    reduce_only: bool = False

    def order(self) -> OpenOrder:
        """The order. Raises `Refused` for amounts that cannot be."""
        size, price = _above_zero("quantity", self.quantity), _usable("price", self.price)
        return OpenOrder(
            symbol=self.symbol,
            quantity=size if self.side is Side.BUY else -size,
            price=price,
            isolated=self.isolated,
            reduce_only=self.reduce_only,
            leg=None if self.leg is None else self.leg.value,
        )


class ShockBody(_Body, frozen=True, kw_only=True):
    """Prices that move."""

    target: Name
    """`ALL`, an underlying (its index and all contracts on it) or a price symbol; the most specific one wins."""
    move: Decimal
    """A fraction: -0.15 for a fall of 15 %."""


class OrderBody(_Body, frozen=True, kw_only=True):
    """An order that fills whole, in the shared pool, without a fee."""

    symbol: Name
    side: Literal["buy", "sell"]
    quantity: Decimal
    price: Decimal | None = None
    """Default: the present price."""
    leg: Literal["long", "short"] | None = None


class DepositBody(_Body, frozen=True, kw_only=True):
    """Collateral that comes in."""

    asset: Name
    amount: Decimal


_Many = msgspec.Meta(max_length=CHANGES_MAX)


class ChangeQuestion(_Body, frozen=True, kw_only=True):
    """An account or a whole portfolio that nobody has, and what happens to it: deposits come in, orders fill, then prices move."""

    account: Name | None = None
    """This or a portfolio."""
    portfolio: Hypothetical | None = None
    deposits: Annotated[tuple[DepositBody, ...], _Many] = ()
    orders: Annotated[tuple[OrderBody, ...], _Many] = ()
    shocks: Annotated[tuple[ShockBody, ...], _Many] = ()

    def asked(self, policy: Policy) -> Asked:
        """The changes. Raises `Refused` or `SettingsError` for what cannot be meant."""
        asked = Asked(
            deposits=tuple(AskedDeposit(it.asset, _above_zero("amount", it.amount)) for it in self.deposits),
            orders=tuple(
                AskedOrder(
                    symbol=it.symbol,
                    leg=it.leg,
                    side=it.side,
                    quantity=_above_zero("quantity", it.quantity),
                    price=None if it.price is None else _usable("price", it.price),
                )
                for it in self.orders
            ),
            shocks=tuple(AskedShock(it.target, _move(it)) for it in self.shocks),
        )
        check_shocks(asked.shocks, policy)
        return asked

    async def subject(self, shelf: Shelf, policy: Policy, now_ns: int) -> AccountReading:
        """Whom it is about. Raises `Refused`, `HypotheticalError` or `Problem`."""
        if (self.account is None) == (self.portfolio is None):
            raise mistaken("say either account or portfolio")
        if self.portfolio is None:
            return await account_reading(shelf, self.account or "", policy, NEAR_NAMES_MAX)
        held = self.portfolio
        if len(held.balances) + len(held.positions) + len(held.orders) > HOLDINGS_MAX:
            raise mistaken(f"portfolio: more than {HOLDINGS_MAX} balances, positions and orders")
        for key, amount in amounts_of("", held):
            fault = amount_fault(amount)
            if fault is not None:
                raise mistaken(f"portfolio.{key}: {fault}")
        check_hypothetical(held, policy)
        saved = believed(list((await newest_marks(shelf)).values()), policy, now_ns)
        prices = prices_of(held, saved)
        state = account_of(held, prices, policy)
        return AccountReading(state, AccountRisk(state.account), NOWHERE, prices, policy, now_ns)


class OperatorOrder(_Body, frozen=True, kw_only=True):
    """An operator's word on the breaker. Who says it is the name of the key."""

    why: Name
    """On record."""
    person: Name | None = None
    """Who of those that share the key says it; on record beside its name."""
    shard: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Default: every shard."""


def _move(shock: ShockBody) -> Decimal:
    move = _usable("move", shock.move)
    if move <= -ONE:
        raise mistaken(f"move {move}: a price cannot fall by 100 % or more")
    return move


def _usable(field: str, value: Decimal) -> Decimal:
    fault = amount_fault(value)
    if fault is not None:
        raise mistaken(f"{field}: '{value}' {fault}")
    return canonical(value)


def _above_zero(field: str, value: Decimal) -> Decimal:
    if _usable(field, value) <= 0:
        raise mistaken(f"{field}: '{value}' must be above zero; the side says buy or sell")
    return canonical(value)
