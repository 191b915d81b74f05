"""What-if and simulations: an account, or a portfolio that nobody has, before and after."""

from http import HTTPStatus

import msgspec
from litestar import post

from engine.analytics.hypothetical import Hypothetical
from streams.answers.account_read import AccountReading
from streams.answers.portfolio_report import PortfolioReport, portfolio_report
from streams.answers.whatif_report import WhatIfReport, changed, compared_with
from streams.desk.account_routes import DeskPart
from streams.desk.answer_envelope import Answer
from streams.desk.answering import Desk
from streams.desk.api_door import ROLE
from streams.desk.api_keys import ApiRole
from streams.desk.book_copy import at_once
from streams.desk.problem_details import responses
from streams.desk.questions import ChangeQuestion


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """Before and after, by every margin model."""

    change: WhatIfReport
    """Figures, bands and positions, side by side."""
    before: PortfolioReport
    """With the risk matrix, concentration, and how far the market may move."""
    after: PortfolioReport


@post(
    "/what-if",
    opt={ROLE: ApiRole.RISK},
    status_code=200,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def ask_what_if(desk: DeskPart, data: ChangeQuestion) -> Answer[WhatIfReport]:
    """Figures, bands and positions as they are and as they would be: deposits come in, orders fill, then prices move."""

    def ask() -> Answer[WhatIfReport]:
        read = _subject(desk, data)
        return desk.of_account(read, compared_with(read, changed(read, data.asked(desk.policy))))

    return await desk.answer(("what-if", msgspec.json.encode(data)), ask)


@post(
    "/simulate",
    opt={ROLE: ApiRole.RISK},
    status_code=200,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def simulate(desk: DeskPart, data: ChangeQuestion, explain: bool = False) -> Answer[Simulation]:  # noqa: FBT001, FBT002 - a query
    """Judge before and after by every margin model, with the risk matrix; with `explain` also the lines that sum to each figure."""

    def ask() -> Answer[Simulation]:
        read = _subject(desk, data)
        change = changed(read, data.asked(desk.policy))
        held = data.portfolio or Hypothetical(name=read.state.account)
        return desk.of_account(
            read,
            Simulation(
                change=compared_with(read, change),
                before=_judged(held, read, explain=explain),
                after=_judged(held, change.after, explain=explain),
            ),
        )

    return await desk.answer(("simulate", msgspec.json.encode(data), explain), ask)


def _subject(desk: Desk, data: ChangeQuestion) -> AccountReading:
    return at_once(data.subject(desk.copy, desk.policy, desk.copy.now_ns()))


def _judged(held: Hypothetical, read: AccountReading, *, explain: bool) -> PortfolioReport:
    return portfolio_report(held, read.state, read.prices, read.policy, explain=explain)
