"""What a board draws of the whole book: how it stood over time, and what liquidations do to it."""

from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from engine.liquidation.fund_groups import fund_value
from streams.desk.account_routes import DeskPart
from streams.desk.answer_envelope import Answer
from streams.desk.answering import Desk
from streams.desk.book_course import CourseReport
from streams.desk.cascade_totals import CascadeReport
from streams.desk.problem_details import responses


class FundStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the insurance fund of a group of contracts has."""

    group: str
    symbols: tuple[str, ...]
    """Contracts that it pays for; none: every contract that no other group names."""
    worth: Decimal
    """In account currency, at the newest marks."""
    stated_ns: int


class CascadeStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Liquidations and who bears them."""

    liquidated: CascadeReport
    funds: tuple[FundStanding, ...] | None
    """Null where no fund is stated, or its topic was not read yet."""


@get("/course", responses=responses())
async def show_course(
    desk: DeskPart, since: Annotated[int, Parameter(ge=0, description="Only later samples (Unix ns).")] = 0
) -> Answer[CourseReport]:
    """Accounts by band, and the equity and maintenance margin of all accounts' worst pools, since this process started.

    The newest quarter of an hour by the second, before that a day by the half minute.
    """
    desk.check_fresh()
    return desk.of_all(desk.course.since(since))


@get("/cascade", responses=responses())
async def show_cascade(desk: DeskPart) -> Answer[CascadeStanding]:
    """Liquidated notional by symbol, executed and still asked for, as far as this process has heard; and what the insurance funds have."""
    desk.check_fresh()
    return desk.of_all(CascadeStanding(liquidated=desk.cascade.report(), funds=_funds(desk)))


def _funds(desk: Desk) -> tuple[FundStanding, ...] | None:
    known = desk.known_funds
    if known is None:
        return None
    prices = desk.prices_now()
    return tuple(
        FundStanding(
            group=it.group,
            symbols=it.symbols,
            worth=fund_value(it, prices, desk.policy),
            stated_ns=it.time_ns,
        )
        for it in known
    )
