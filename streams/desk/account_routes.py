"""Questions about accounts: the list, and everything about one."""

import base64
import bisect
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import Parameter, SkipValidation

from engine.inputs import NAME_LENGTH_MAX
from engine.ladder import Band
from engine.ladder.states import CallKind, Controls
from engine.marks.mark_book import Prices
from engine.strict_decoding import UNREADABLE
from streams.answers.account_read import AccountReading, account_reading
from streams.answers.account_report import AccountReport, believed
from streams.answers.account_report import report as account_report
from streams.answers.account_rows import RiskRow, risk_row
from streams.answers.account_stress_report import (
    DEFAULT_MOVES,
    DEFAULT_VOLATILITIES,
    StressReport,
    account_stress_report,
)
from streams.answers.order_report import MayOpenReport, order_report
from streams.answers.withdrawable_report import WithdrawableReport, withdrawable_report
from streams.config.near_names import nearest_listed
from streams.config.problem import Problem
from streams.desk.answer_envelope import Answer, Page
from streams.desk.answering import Desk
from streams.desk.api_door import ROLE
from streams.desk.api_keys import ApiRole
from streams.desk.asked_markets import chosen_scenarios, fractions_of
from streams.desk.book_copy import at_once
from streams.desk.escaped_paths import account_named
from streams.desk.problem_details import mistaken, responses
from streams.desk.questions import NEAR_NAMES_MAX, OrderQuestion
from streams.desk.ranking import Rank

PAGE_MAX = 500

DeskPart = NamedDependency[SkipValidation[Desk]]
LimitQuery = Annotated[int, Parameter(ge=1, le=PAGE_MAX, description="Items of this page.")]
CursorQuery = Annotated[
    str | None, Parameter(max_length=1024, description="Of the page before: its next_cursor.")
]
AccountPath = Annotated[str, Parameter(description="Its name; a slash in it is written %2F.")]
SymbolQuery = Annotated[
    str | None, Parameter(max_length=NAME_LENGTH_MAX, description="Only who holds this contract.")
]


@get("/accounts", responses=responses())
async def list_accounts(
    desk: DeskPart,
    band: Band | None = None,
    controls: Controls | None = None,
    call: CallKind | None = None,
    symbol: SymbolQuery = None,
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Answer[Page[RiskRow]]:
    """All accounts, the riskiest first: by band, then by ratio.

    Each row is computed when it is asked for; the order is seconds old at most, and accounts move in it while you page.
    """
    begin = _place(cursor)
    if symbol is not None and symbol not in desk.policy.instruments:
        near = nearest_listed(symbol, desk.policy.instruments)
        raise mistaken(f"symbol {symbol!r} is not listed in policy {desk.policy.name!r}; {near}")

    def page() -> Answer[Page[RiskRow]]:
        wanted = [
            it
            for it in desk.ranking.ordered()
            if (band is None or it.band is band)
            and (controls is None or it.controls is controls)
            and (call is None or it.call is call)
            and (symbol is None or symbol in it.symbols)
        ]
        first = 0 if begin is None else bisect.bisect_right(wanted, begin, key=lambda it: it.place)
        shown, now_ns = wanted[first : first + limit], desk.copy.now_ns()
        following = _cursor(shown[-1]) if first + limit < len(wanted) else None
        items = tuple(_rows(desk, shown, now_ns))
        complete = desk.ranking.known >= desk.copy.account_count
        listed = Page(items=items, next_cursor=following, total=len(wanted), complete=complete)
        return desk.of_all(listed, evaluated_ns=now_ns)

    question = ("accounts", band, controls, call, symbol, limit, cursor)
    return await desk.answer(question, page)


@get("/accounts/{account:str}", responses=responses(HTTPStatus.NOT_FOUND))
async def show_account(desk: DeskPart, account: AccountPath, explain: bool = False) -> Answer[AccountReport]:  # noqa: FBT001, FBT002 - a query
    """One account: band, controls and call of each pool, its figures, positions with liquidation prices, orders, and how far the market
    may move to each line. With `explain` also the lines that sum to each figure.
    """  # noqa: D205 - one sentence of the schema
    name = account_named(account)

    def show() -> Answer[AccountReport]:
        read = _read(desk, name)
        return desk.of_account(read, account_report(*read, explain=explain))

    return await desk.answer(("account", name, explain), show)


@post(
    "/accounts/{account:str}/may-open",
    opt={ROLE: ApiRole.RISK},
    status_code=200,
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def may_open(desk: DeskPart, account: AccountPath, data: OrderQuestion) -> Answer[MayOpenReport]:
    """Say whether this order would be allowed, what it requires, and what stays available."""
    name = account_named(account)

    def ask() -> Answer[MayOpenReport]:
        read = _read(desk, name)
        return desk.of_account(read, order_report(read, data.order()))

    return await desk.answer(("may-open", name, data), ask)


@get("/accounts/{account:str}/withdrawable", responses=responses(HTTPStatus.NOT_FOUND))
async def show_withdrawable(
    desk: DeskPart,
    account: AccountPath,
    asset: Annotated[list[str] | None, Parameter(description="Only these; default: all held.")] = None,
) -> Answer[WithdrawableReport]:
    """How much of each asset may leave the account, each as if the others stayed, and what bounds it."""
    name, assets = account_named(account), tuple(asset or ())

    def ask() -> Answer[WithdrawableReport]:
        read = _read(desk, name)
        return desk.of_account(read, withdrawable_report(read, assets))

    return await desk.answer(("withdrawable", name, assets), ask)


@get(
    "/accounts/{account:str}/stress",
    opt={ROLE: ApiRole.RISK},
    responses=responses(HTTPStatus.NOT_FOUND),
)
async def stress_account(
    desk: DeskPart,
    account: AccountPath,
    moves: Annotated[
        str, Parameter(max_length=1000, description="Percent: a list or a range.")
    ] = DEFAULT_MOVES,
    volatility: Annotated[str, Parameter(max_length=1000)] = DEFAULT_VOLATILITIES,
    scenario: list[str] | None = None,
    explain: bool = False,  # noqa: FBT001, FBT002 - a query
) -> Answer[StressReport]:
    """What moves of the market, of its most leveraged contract, and days of history would do to the account."""
    name, names = account_named(account), tuple(scenario or ())
    asked = (fractions_of("moves", moves), fractions_of("volatility", volatility))
    scenarios = chosen_scenarios(names)

    def ask() -> Answer[StressReport]:
        read = _read(desk, name)
        return desk.of_account(read, account_stress_report(read, *asked, scenarios, explain=explain))

    return await desk.answer(("stress", name, asked, names, explain), ask)


def _read(desk: Desk, account: str) -> AccountReading:
    return at_once(account_reading(desk.copy, account, desk.policy, NEAR_NAMES_MAX))


def _rows(desk: Desk, ranks: Sequence[Rank], now_ns: int) -> list[RiskRow]:
    prices: dict[int, Prices] = {}
    rows = []
    for it in ranks:
        found = desk.copy.entry(it.account)
        if found is None:  # Redis was emptied since
            continue
        shard, held = found
        if shard not in prices:
            prices[shard] = believed(at_once(desk.copy.marks(shard)), desk.policy, now_ns)
        try:
            state, risk = held.read(it.account)
        except Problem:  # since it was ranked; the next round takes it out of the list
            continue
        rows.append(risk_row(state, risk, shard, prices[shard], desk.policy))
    return rows


class _CursorPlace(msgspec.Struct, array_like=True, frozen=True):
    severity: int
    ratio: float | None
    account: str


def _cursor(rank: Rank) -> str:
    ratio = None if rank.ratio == float("inf") else rank.ratio
    return base64.urlsafe_b64encode(
        msgspec.json.encode(_CursorPlace(rank.severity, ratio, rank.account))
    ).decode()


def _place(cursor: str | None) -> tuple[int, float, str] | None:
    if cursor is None:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=_CursorPlace)
    except (ValueError, *UNREADABLE):
        raise mistaken("cursor: it is none that this API gave") from None
    return found.severity, float("inf") if found.ratio is None else found.ratio, found.account
