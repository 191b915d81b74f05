"""What `unimargin stress` says: every account in Redis, in every market that was asked for, by the book that the workers use."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.analytics.stress_scenario import StressScenario, left_out, scenario_prices
from engine.analytics.weighting import Weighting, factors_of, targets_of
from engine.analytics.what_if import Market
from engine.book.stress_parts import BookStress, MarketOutcome, together
from engine.marks.mark_book import Prices
from engine.numbers import canonical
from engine.policy import Policy
from streams.answers.book_read import book_reader
from streams.answers.shelf import Shelf

_SIGNIFICANT_DIGITS = 12
"""Of an amount: fewer than its floats carry, more than anybody reads."""


class BookStressAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The question."""

    scenarios: tuple[StressScenario, ...]
    moves: tuple[Decimal, ...]
    """Of the market, each uniform and by beta."""
    fund: float
    worst_max: int


class CondemnedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account; amounts in account currency, of its condemned pools."""

    account: str
    pools: int
    notional: Decimal
    deficit: Decimal
    """Loss beyond equity."""


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts in one market; amounts in account currency."""

    market: str
    """"now", the name of a scenario, or a move."""
    accounts: int
    pools: int
    """Condemned: below the liquidation line, bankrupt, or in liquidation already."""
    notional: Decimal
    equity: Decimal
    """Of everybody, debts included."""
    deficit: Decimal
    """Loss beyond equity of the condemned, before any cost of closing."""
    fund_used: Decimal
    uncovered: Decimal
    """What deleveraging would have to bear."""
    not_priced: tuple[str, ...]
    """Coins of the scenario that the policy does not price."""
    worst: tuple[CondemnedAccount, ...]


class BookStressReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows."""

    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    accounts: int
    shards: int
    exactly: int
    """Accounts that the columns did not suffice for."""
    fund: Decimal
    stale_symbols: tuple[str, ...]
    markets: tuple[MarketView, ...]
    """The prices as they are first."""


async def read_stress(
    shelf: Shelf, policy: Policy, asked: BookStressAsked, *, last_prices: bool
) -> BookStressReport:
    """Read every account and put it into each market. Raises `Problem`."""
    now_ns = shelf.now_ns()
    names: list[str] = []
    parts: list[BookStress] = []
    reader = await book_reader(shelf, policy, now_ns, last_prices=last_prices)
    markets = [("now", (), reader.prices), *_markets(asked, reader.prices, policy)]
    async for shard in reader.books():
        names += shard.accounts
        parts.append(shard.book.stressed([prices for _, _, prices in markets]))
    found = together(parts, len(markets))
    views = [
        _view(name, left, found.outcome(number, asked.fund, asked.worst_max), names)
        for number, (name, left, _) in enumerate(markets)
    ]
    return BookStressReport(
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        accounts=len(names),
        shards=reader.shards,
        exactly=found.exactly,
        fund=_amount(asked.fund),
        stale_symbols=reader.stale,
        markets=tuple(views),
    )


def _markets(
    asked: BookStressAsked, prices: Prices, policy: Policy
) -> Iterator[tuple[str, tuple[str, ...], Prices]]:
    """Name, coins left out and prices of each market that was asked for."""
    for scenario in asked.scenarios:
        yield scenario.name, left_out(scenario, policy), scenario_prices(scenario, prices, policy)
    for weighting in Weighting if asked.moves else ():
        market = Market(targets_of(weighting, policy), prices, policy)
        for move in asked.moves:
            moved = market.at(factors_of(weighting, move, policy))
            yield f"{weighting} {move.scaleb(2).normalize():+f} %", (), moved


def _view(name: str, left: tuple[str, ...], outcome: MarketOutcome, names: Sequence[str]) -> MarketView:
    return MarketView(
        market=name,
        accounts=outcome.accounts,
        pools=outcome.pools,
        notional=_amount(outcome.notional),
        equity=_amount(outcome.equity),
        deficit=_amount(outcome.deficit),
        fund_used=_amount(outcome.fund_used),
        uncovered=_amount(outcome.uncovered),
        not_priced=left,
        worst=tuple(
            CondemnedAccount(
                account=names[it.number],
                pools=it.pools,
                notional=_amount(it.notional),
                deficit=_amount(it.deficit),
            )
            for it in outcome.worst
        ),
    )


def _amount(value: float) -> Decimal:
    return canonical(Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}"))
