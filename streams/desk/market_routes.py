"""Questions about everybody and about the market: stress, heat map, liquidations, episodes, symbols, the breaker."""

import bisect
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, NamedTuple, cast

import msgspec
from litestar import get
from litestar.params import Parameter

from engine.ladder import SEVERITY, Band
from engine.ladder.states import Called, CallKind, Controls
from engine.liquidation.adl_risk import AdlState
from engine.liquidation.fund_groups import FundBalance
from engine.numbers import amount_fault
from streams.answers.adl_standing import adl_standings
from streams.answers.breaker_read import read_breakers
from streams.answers.breaker_report import BreakerReport, breaker_reports
from streams.answers.heatmap_report import HeatReport, heat_report, read_heat_map
from streams.answers.liquidations_read import read_liquidations
from streams.answers.liquidations_report import WorkReport
from streams.answers.stress_report import BookStressAsked, BookStressReport, read_stress
from streams.answers.symbols_report import SymbolView, read_symbols
from streams.config.near_names import nearest_listed
from streams.desk.account_routes import DeskPart, LimitQuery
from streams.desk.answer_envelope import Answer, Page
from streams.desk.answering import Desk
from streams.desk.api_door import ROLE
from streams.desk.api_keys import ApiRole
from streams.desk.asked_markets import asked_moves, chosen_scenarios
from streams.desk.book_copy import CopiedBook, at_once
from streams.desk.problem_details import missing, mistaken, responses

HEAT_MOVES = "-50..50/5"

LastPrices = Annotated[bool, Parameter(description="Count as if the last saved prices were fresh.")]
Moves = Annotated[str, Parameter(max_length=1000, description="Percent: a list, or a range like -50..50/5.")]


class SymbolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of a price symbol, and how near its winners are to being deleveraged."""

    belief: SymbolView
    adl: AdlState | None
    """Of a contract whose insurance fund is stated; null of others."""


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """A pool from the event that opened its episode to the one that resolves it; as the workers said, without figures."""

    episode_id: str
    account: str
    shard: int
    position: str | None
    """Of the isolated position; null for the shared pool."""
    band: Band
    controls: Controls
    call: CallKind
    called: Called | None
    """The figures that the call began with."""
    deadline_ns: int | None
    expired: bool
    degraded: bool
    held_by: int | None
    """Number of the opening of the shard's breaker that holds it."""
    liquidation_id: str | None
    """Of the request that runs."""
    verdict_id: str | None


@get("/stress", opt={ROLE: ApiRole.RISK}, responses=responses())
async def stress_book(
    desk: DeskPart,
    scenario: list[str] | None = None,
    moves: Annotated[str | None, Parameter(max_length=1000)] = None,
    fund: Annotated[Decimal, Parameter(description="What the insurance fund can bear.")] = Decimal(0),
    worst: Annotated[int, Parameter(ge=0, le=100)] = 5,
    last_prices: LastPrices = False,  # noqa: FBT002 - a query
) -> Answer[BookStressReport]:
    """Who of all accounts days of history or moves of the market would condemn, the loss beyond equity, and what the fund would bear."""
    fault = amount_fault(fund) or ("is below 0" if fund < 0 else None)
    if fault is not None:
        raise mistaken(f"fund: '{fund}' {fault}")
    asked = BookStressAsked(
        scenarios=tuple(chosen_scenarios(tuple(scenario or ()))),
        moves=() if moves is None else asked_moves("moves", moves),
        fund=float(fund),
        worst_max=worst,
    )

    def ask() -> Answer[BookStressReport]:
        book = desk.copy.frozen()
        said = at_once(read_stress(book, desk.policy, asked, last_prices=last_prices))
        return desk.of_all(said, book, said.read_at_ns)

    question = ("book-stress", tuple(scenario or ()), asked.moves, asked.fund, worst, last_prices)
    return await desk.answer(question, ask, keep_s=desk.settings.api_book_seconds)


@get("/heat-map", responses=responses())
async def show_heat_map(
    desk: DeskPart,
    moves: Moves = HEAT_MOVES,
    symbol: list[str] | None = None,
    last_prices: LastPrices = False,  # noqa: FBT002 - a query
) -> Answer[HeatReport]:
    """The notional that each move of the whole market would be the first to liquidate, by symbol."""
    asked, symbols = asked_moves("moves", moves), tuple(symbol or ())
    for name in symbols:
        if name not in desk.policy.contracts:
            near = nearest_listed(name, desk.policy.contracts)
            raise mistaken(f"symbol {name!r}: not a contract of this policy; {near}")

    def ask() -> Answer[HeatReport]:
        book = desk.copy.frozen()
        read = at_once(read_heat_map(book, desk.policy, asked, last_prices=last_prices))
        return desk.of_all(heat_report(read, desk.policy, symbols), book, read.read_at_ns)

    question = ("heat-map", asked, symbols, last_prices)
    return await desk.answer(question, ask, keep_s=desk.settings.api_book_seconds)


@get("/liquidations", responses=responses())
async def list_liquidations(desk: DeskPart, limit: LimitQuery = 20) -> Answer[WorkReport]:
    """The pools in liquidation, the least covered first, each with the plan that would end it now."""
    funds = desk.fund_balances()

    def ask() -> Answer[WorkReport]:
        book, known = desk.copy.frozen(), None if funds is None else _known(funds)
        said = at_once(read_liquidations(book, desk.policy, limit, book.now_ns(), known))
        return desk.of_all(said, book, said.read_at_ns)

    return await desk.answer(("liquidations", limit), ask, keep_s=desk.settings.api_book_seconds)


@get("/episodes", responses=responses())
async def list_episodes(
    desk: DeskPart,
    band: Band | None = None,
    limit: LimitQuery = 50,
    after: Annotated[
        str | None, Parameter(max_length=1024, description="next_cursor of the page before.")
    ] = None,
) -> Answer[Page[Episode]]:
    """The open episodes, the worst bands first, then by id."""
    begin = None if after is None else _after(after)

    def ask() -> Answer[Page[Episode]]:
        book = desk.copy.frozen()
        found = sorted(_episodes(book), key=_episode_place)
        found = [it for it in found if band is None or it.band is band]
        first = 0 if begin is None else bisect.bisect_right(found, begin, key=_episode_place)
        shown = tuple(found[first : first + limit])
        more = first + limit < len(found)
        cursor = f"{SEVERITY[shown[-1].band]}:{shown[-1].episode_id}" if more else None
        return desk.of_all(Page(items=shown, next_cursor=cursor, total=len(found)), book)

    return await desk.answer(("episodes", band, limit, after), ask)


@get("/symbols", responses=responses())
async def list_symbols(desk: DeskPart) -> Answer[tuple[SymbolAnswer, ...]]:
    """Mark, age, doubt, second source and deleveraging risk of every price symbol."""
    return await desk.answer("symbols", lambda: _symbols(desk))


@get("/symbols/{symbol:str}", responses=responses(HTTPStatus.NOT_FOUND))
async def show_symbol(desk: DeskPart, symbol: str) -> Answer[SymbolAnswer]:
    """The same of one."""
    said = await desk.answer("symbols", lambda: _symbols(desk))
    for it in said.data:
        if it.belief.symbol == symbol:
            return cast("Answer[SymbolAnswer]", msgspec.structs.replace(said, data=it))
    near = nearest_listed(symbol, [it.belief.symbol for it in said.data])
    raise missing("unknown-symbol", f"{symbol!r} is no price symbol of the policy; {near}")


@get("/breaker", responses=responses())
async def show_breaker(desk: DeskPart) -> Answer[tuple[BreakerReport, ...]]:
    """The breaker of every shard: which hold liquidations, since when, why and how much."""
    return await desk.answer(
        "breaker", lambda: desk.of_all(breaker_reports(at_once(read_breakers(desk.copy))))
    )


def _known(funds: Sequence[FundBalance]) -> Callable[[], Awaitable[Sequence[FundBalance]]]:
    async def known() -> Sequence[FundBalance]:
        return funds

    return known


class _EpisodePlace(NamedTuple):
    severity: int
    episode_id: str


def _episode_place(it: Episode) -> _EpisodePlace:
    return _EpisodePlace(-SEVERITY[it.band], it.episode_id)


def _after(cursor: str) -> _EpisodePlace:
    severity, _, episode_id = cursor.partition(":")
    if severity not in {str(it) for it in SEVERITY.values()} or not episode_id:
        raise mistaken("after: it is no next_cursor that this API gave")
    return _EpisodePlace(-int(severity), episode_id)


def _episodes(book: CopiedBook) -> list[Episode]:
    return [
        Episode(
            episode_id=it.episode_id,
            account=account,
            shard=shard,
            position=pool or None,
            band=it.band,
            controls=it.controls,
            call=it.call,
            called=it.called,
            deadline_ns=it.deadline_ns,
            expired=it.expired,
            degraded=it.degraded,
            held_by=it.held_by,
            liquidation_id=None if it.request is None else it.request.liquidation_id,
            verdict_id=it.verdict_id,
        )
        for shard, copy in enumerate(book.shards)
        for account, held in copy.entries.items()
        if held.risk is not None
        for pool, it in held.risk.pools.items()
        if it.episode_id is not None
    ]


def _symbols(desk: Desk) -> Answer[tuple[SymbolAnswer, ...]]:
    now_ns, risks = desk.copy.now_ns(), at_once(adl_standings(desk.copy))
    views = at_once(read_symbols(desk.copy, desk.policy, now_ns))
    told = tuple(SymbolAnswer(belief=it, adl=risks.get(it.symbol)) for it in views)
    return desk.of_all(told, evaluated_ns=now_ns)
