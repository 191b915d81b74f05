"""One step of the simulated market after the other. Pure: the same seed, times and events give the same messages.

Life of a step
--------------
1. time passes: the path moves, pressure on the order books decays, every price is quoted anew
2. liquidations are executed, worst account first; the insurance fund sells; agents react to calls and trade
3. funding is settled when it is due
4. marks and inputs go out; the books are checked: not a cent was made or lost
While the exchange is silent (an outage) time passes and nothing else happens. After the market's end the fund sells nothing, and once
no pool waits for the exchange prices stand still, so that nobody is condemned by the last of them.
"""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np

from engine.events.effects import RiskEvent, Stream
from engine.inputs import AccountInput, Deposit, FillsInput, Mark
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.contract.cloudevents import Event
from streams.exchange.clearing.clearing import Books
from streams.exchange.clearing.conservation import Balance
from streams.exchange.clearing.executing import Liquidations
from streams.exchange.clearing.input_desk import Desk, Fence, tag_in, topic_of
from streams.exchange.clearing.insurance_fund import Fund
from streams.exchange.clearing.tally import Tally
from streams.exchange.clearing.verdicts import Verdicts
from streams.exchange.clearing.wrong_job import WrongJob
from streams.exchange.market.answering_prices import Market
from streams.exchange.market.market_path import MarketPath
from streams.exchange.market.scenario import bad_mark, bad_ticks
from streams.exchange.market.venue_feed import Venue
from streams.exchange.simulation_options import SimulationOptions
from streams.exchange.traders.population import Population
from streams.exchange.traders.trading_agents import Agents

PERCENT_DEPTH = 0.006
"""Part of a coin's open interest whose trade moves its price by one per cent, in an order book of the usual depth."""
DEPTH_MIN = 3_000_000.0
"""Of any coin: what moves its price by a factor of e."""
RESILIENCE_PART, RESILIENCE_SECONDS_MAX = 0.08, 60.0
"""Time constant in which an order book forgets a trade: a part of the market's length, but no longer than that."""


class Step(NamedTuple):
    """What the exchange says in one step, marks first."""

    marks: list[Mark]
    inputs: list[AccountInput]


class Simulation:
    """One exchange. `open` it, then `step` it."""

    def __init__(
        self,
        policy: Policy,
        population: Population,
        path: MarketPath,
        options: SimulationOptions,
        *,
        first_sequence: int = 0,
    ) -> None:
        """`first_sequence`: marks are numbered from above it."""
        self.policy, self.population, self.path, self.options = policy, population, path, options
        self.books, self.fence, self.tally = Books(policy), Fence(), Tally()
        self.balances: dict[str, Balance] = {}
        """The equation of conservation of each asset after the last step."""
        self.second = 0.0
        self._desk = Desk(self.books, self.fence)
        self._first_sequence = first_sequence
        self._sequences: dict[str, int] = {}
        self._funding_done = 0
        self._opening_deposits: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._marks: dict[str, Mark] = {}
        contracts = population.contracts
        self._scaled = frozenset(
            it.symbol for it in contracts if policy.instruments[it.symbol].open_interest is not None
        )
        """Contracts whose initial margin the policy scales with their open interest."""
        self._market = Market(
            policy,
            path,
            {it.symbol: policy.instruments[it.symbol].quantity_step or it.step for it in contracts},
            impact=options.impact,
            resilience_seconds=min(RESILIENCE_PART * options.seconds, RESILIENCE_SECONDS_MAX),
        )
        self._job = WrongJob(self._desk, options.incident.wrong_funding, options.seconds)
        self.verdicts = Verdicts(policy, self._job.undone, self._true_prices)
        self._venue = Venue(policy, options.incident, options.seconds)
        self._fund = Fund(self.books, self._market, self._desk, self.tally)
        self._liquidations = Liquidations(self._market, self._desk, self._fund, self.tally, self._prices)
        self._agents = Agents(
            population,
            self._desk,
            self._market,
            self.tally,
            orders_per_second=options.orders_per_second,
            crowd=options.crowd,
            seconds=options.seconds,
            busy=self._liquidations.running,
        )
        ticks = options.steps * len(self._market.quotes)
        self._bad = bad_ticks(np.random.default_rng(population.seed), ticks) if options.bad_ticks else {}

    def opening(self, time_ns: int) -> Iterator[AccountInput]:
        """The inputs that open every account, booked as they are given: account by account, ledger before fills.

        What the books have already (`resume`) is left out. Exhaust it before `open`.
        """
        for message in self.population.inputs(time_ns):
            if isinstance(message, Deposit):
                self._opening_deposits[message.asset] += message.amount
            state = self.books.state(message.account)
            progress = state.fills if isinstance(message, FillsInput) else state.ledger
            if (message.account_seq or 0) < (progress.next_seq or 0):
                continue
            self.books.take(message)
            self.fence.sent(message.account)
            self._count([message])
            yield message

    def resume(self, message: AccountInput, offset: int) -> None:
        """A message found in the topics: the exchange was there before. Those of one topic in their order."""
        self.books.take(message)
        self.fence.lies(message.account, topic_of(message), offset)
        self._count([message])
        tag = tag_in(message)
        if tag is not None:
            self._liquidations.remember(tag)

    def follow(self, marks: Iterable[Mark]) -> None:
        """The last marks of the exchange that was there before: quotes go on from them, and are numbered above them."""
        for mark in marks:
            self._market.requote(mark.symbol, mark.price)
            self._sequences[mark.symbol] = max(mark.sequence, self._sequences.get(mark.symbol, 0))

    def open(self, second: float = 0.0) -> None:
        """Everybody is here: the order books fill, the insurance fund gets its capital, the market goes on at `second`."""
        if second:
            self.second = second
            self._funding_done = bisect.bisect_right(self.options.funding_at, second)
            self._market.begin(second)
            self._agents.begin(second)
            self._job.begin(second)
        self._market.deepen(self._depths())
        self._endow_fund()
        self.tally.fund_start = self.tally.fund_low = self.tally.fund_equity = self._fund.equity()
        self.balances = self.books.check(self._market.prices, 0)

    @property
    def liquidations_open(self) -> int:
        """Liquidations under way."""
        return self._liquidations.open

    @property
    def at_rest(self) -> bool:
        """Whether no liquidation is under way, and no pool in liquidation waits for the exchange, as far as the engine has said.

        Who is in liquidation while a breaker is open may wait for an operator, for as long as that takes.
        """
        return not (self._liquidations.open or (self._liquidations.waiting and not self.verdicts.holding))

    @property
    def prices(self) -> dict[str, Decimal]:
        """The quoted price of every price symbol."""
        return self._market.prices

    def take(self, events: Iterable[Event]) -> None:
        """What the engine has said."""
        for event in events:
            self.verdicts.note(event, self.second)
            if not isinstance(event, RiskEvent):
                continue
            if event.stream is Stream.LIQUIDATIONS:
                self._liquidations.offer(event)
            else:
                self._agents.hear(event, self.second)

    def step(self, second: float, time_ns: int) -> Step:
        """Let the market go on to `second`; what it says is dated `time_ns`. Raises `NotConserved`: a fault of ours."""
        elapsed, self.second = second - self.second, second
        tally, market = self.tally, self._market
        tally.second, self._desk.time_ns = second, time_ns
        ended = second >= self.options.seconds
        if not (ended and self.at_rest):
            market.advance(second)
        marks: list[Mark] = []
        if self.path.silent(second):
            self._venue.falls_silent()
        else:
            marks = self._quoted(time_ns)
        if marks and self._venue.trades(second):
            self._liquidations.step(elapsed)
            if not ended:
                self._fund.sell(second)
            self._agents.step(second, elapsed, self._prices())
            self._settle_funding(second)
            self._job.step(second, {it.symbol: market.quoted(it.symbol) for it in self.population.contracts})
        inputs = self._desk.taken()
        self._count(inputs)
        self.balances = self.books.check(market.prices, tally.steps)
        tally.fund_is(self._fund.equity())
        tally.steps += 1
        tally.marks += len(marks)
        return Step(marks, inputs)

    def start_marks(self, time_ns: int) -> list[Mark]:
        """A mark of every price symbol before the market moves (on). The open interest comes later: accounts are being opened still."""
        return self._market.marks(time_ns, self._next_sequence)

    def _quoted(self, time_ns: int) -> list[Mark]:
        """Marks of every symbol, a bad one after it where one is due."""
        true = self._market.marks(time_ns, self._next_sequence)
        quoted = [self._with_interest(mark) for mark in self._venue.published(true, self.second)]
        self._marks = {mark.symbol: mark for mark in quoted}
        if not self._bad:
            return quoted
        marks = []
        first = self.tally.steps * len(quoted)
        for place, (mark, quote) in enumerate(zip(quoted, self._market.quotes, strict=True)):
            marks.append(mark)
            kind = self._bad.get(first + place)
            if kind is not None:
                bad = bad_mark(kind, 0.0, quote, mark.price, mark.sequence)
                self._sequences[mark.symbol] = max(bad.sequence, mark.sequence)
                marks.append(Mark(bad.symbol, bad.price, bad.sequence, time_ns))
        return marks

    def _with_interest(self, mark: Mark) -> Mark:
        """The mark, with the open interest of the exchange's own books where the policy scales with it."""
        if mark.symbol not in self._scaled:
            return mark
        return msgspec.structs.replace(mark, open_interest=self.books.open_interest(mark.symbol))

    def _next_sequence(self, symbol: str) -> int:
        self._sequences[symbol] = self._sequences.get(symbol, self._first_sequence) + 1
        return self._sequences[symbol]

    def _prices(self) -> Prices:
        return Prices(self._marks, frozenset(), self._desk.time_ns)

    def _true_prices(self) -> Prices:
        time_ns = self._desk.time_ns
        marks = {name: Mark(name, price, 0, time_ns) for name, price in self._market.prices.items()}
        return Prices(marks, frozenset(), time_ns)

    def _depths(self) -> dict[str, float]:
        """Depth of each coin's order book: in proportion to what its customers hold."""
        depths = dict.fromkeys((it.base for it in self.policy.instruments.values()), DEPTH_MIN)
        start = self.path.start_prices
        for symbol, contracts_open in self.books.customers_longs().items():
            instrument = self.policy.instruments[symbol]
            index = self.policy.assets[instrument.settle].index
            value = float(abs(instrument.value(contracts_open, start[symbol]))) * float(start.get(index, 1))
            # N / depth = 1 % where N is PERCENT_DEPTH of the open interest
            depths[instrument.base] += 100 * PERCENT_DEPTH * value
        return depths

    def _endow_fund(self) -> None:
        """Capital in the assets that contracts settle in."""
        for asset in sorted({contract.settle for contract in self.population.contracts}):
            capital = float(self._opening_deposits[asset]) * self.options.fund_part
            self.books.endow_fund(asset, Decimal(max(round(capital), 1)))

    def _settle_funding(self, second: float) -> None:
        """Longs pay shorts, or the other way; the street pays the rest of both sides, so the sum is zero."""
        due = bisect.bisect_right(self.options.funding_at, second)
        if due <= self._funding_done:
            return
        self._funding_done = due
        self.tally.funding_settlements += 1
        rates = {
            contract.symbol: (
                self._market.quoted(contract.symbol),
                self._market.funding_rate(contract.symbol),
            )
            for contract in self.population.contracts
        }
        self._desk.settle_funding(rates)

    def _count(self, inputs: list[AccountInput]) -> None:
        fills = sum(isinstance(message, FillsInput) for message in inputs)
        self.tally.fills += fills
        self.tally.ledger_entries += len(inputs) - fills
