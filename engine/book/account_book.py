"""What a shard asks of its book of accounts.

Rules every book keeps
----------------------
* Instants of a batch are judged *in order*. All prices of an instant are set, then the union of their holders (of the symbol, or
  of collateral priced by it) is judged once: a hedged account is never judged on half of a market move.
* `Judgement`s come back instant by instant, within one by the band that an account is heading for, the worst first, then by name
  (`urgency`); only changes that must be made durable or said (band, degraded) are returned.
* They come in slices, each a bounded piece of work; one may be empty. Nothing is done before the first is asked for. Until all have
  been taken nothing else may change the book: no other judging, no `put`. Asking it is safe.
* A book holds its own view of prices, so that a batch is judged step by step; time is event time.
* An account is judged by what the policy lists of what it holds (`engine.margin.listed_part`). One that the engine fails on is set apart
  (`failures`): from then on nobody judges or counts it, until it is put without that stop.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import NamedTuple, Protocol, Self

import msgspec

from engine.analytics.heat_map import MarketPoint
from engine.book.failures import Failure
from engine.book.heat_map_parts import Heat
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement
from engine.inputs import Mark
from engine.ladder import Band
from engine.ladder.breaker import Breaker, InputsTaken
from engine.ladder.table import Trigger
from engine.ledger.accounts import AccountState
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.policy import Policy

Slices = Iterator[list[Judgement]]
"""What there is to say, piece by piece."""


def drained(slices: Slices) -> list[Judgement]:
    """Take all slices at once."""
    return [judgement for part in slices for judgement in part]


class Totals(msgspec.Struct, frozen=True):
    """A picture of the whole book for metrics; float sums are for display only."""

    accounts_by_band: dict[Band, int]
    isolated_by_band: dict[Band, int]
    accounts_degraded: int
    accounts_stopped: int
    accounts_below_ratio: dict[Decimal, int]
    """Cumulative: accounts with a requirement whose ratio is below each edge."""
    equity: float
    maintenance_margin: float


class Concerned(NamedTuple):
    """Accounts that hold a symbol, or collateral priced by it, and the equity of their shared pools (for display)."""

    accounts: int
    equity: float


class PackedPart(NamedTuple):
    """Some of the accounts of a book in bytes that a book of the same edition loads without reading a state."""

    data: bytes
    left_out: list[str]
    """Accounts that are not in `data`: they have to be loaded from what is stored of them."""


class AccountBook(Protocol):
    """All accounts of one shard."""

    breaker: Breaker
    """Whether liquidations are held, and why."""
    screened: int
    """Holders answered for by `on_instants` since the start, without or with an exact judgement."""
    exact: int
    """Exact judgements since the start, whatever asked for them."""
    exact_routed: int
    """Of these the ones of routed accounts."""
    failures: list[Failure]
    """Accounts that were set apart because the engine failed on them, for the caller to take away and to make durable."""

    @property
    def reasons_due(self) -> dict[Trigger, int]:
        """Accounts of whom `reasons` has something to say: a plan (while the breaker is open it waits) or a detail; {} where of nobody."""

    @property
    def routed(self) -> dict[str, int]:
        """Accounts that the book's shortcuts cannot express, by reason: judged exactly at every touch outside of their box."""

    @property
    def boxed(self) -> int:
        """Routed accounts that are in a box now: quiet until a price leaves it."""

    @property
    def unboxed(self) -> dict[str, int]:
        """Routed accounts that got no box when last judged, by reason: judged exactly at every touch."""

    def anew(self, policy: Policy) -> Self:
        """An empty book of the same kind under another policy, without prices; counters go on, and the breaker is as it is."""

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """Insert or replace an account; without `risk` its risk record stays (a new one is healthy)."""

    def put_all(self, states: Iterable[AccountState]) -> None:
        """`put` each of these accounts."""

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """Put many new accounts, each once, as `engine.ledger.accounts.encode` wrote them, with their risk records."""

    def load_in_parts(
        self,
        stored: Iterable[bytes],
        risks: Mapping[str, AccountRisk],
        parts: Sequence[bytes] = (),
        outdated: AbstractSet[str] = frozenset(),
    ) -> Iterator[None]:
        """`load` piece by piece, each a bounded piece of work; until the last nothing may be asked of the book.

        `parts` are the data of all parts that a book of the same edition has given; of them the accounts named in `outdated` are left
        out. `stored` has to have these, where they are there still, those that the parts have left out, and all whose risk record has
        pools; and `outdated` the latter. Raises ValueError or `msgspec.MsgspecError` for bytes that are no such parts.
        """

    @property
    def edition(self) -> str:
        """What has to be the same in the book that packs accounts and the one that loads them."""

    def packed_in_parts(self) -> Iterator[PackedPart]:
        """Every account, for `load_in_parts`, each part a bounded piece of work; the book may change between two of them.

        A part has its accounts as they are when it is asked for; one that comes later is in a later part.
        """

    def state(self, account: str) -> AccountState | None:
        """The account's state, or None."""

    def set_apart(self, account: str, error: Exception) -> None:
        """Something failed that concerns this account alone; it joins `failures`."""

    def risk(self, account: str) -> AccountRisk:
        """The account's risk record; a healthy one where nothing was ever said."""

    def accounts(self) -> Iterator[str]:
        """Every account, sorted."""

    def judge(self, accounts: Sequence[str], inputs: Sequence[InputsTaken] = ()) -> Slices:
        """Judge these accounts at the book's prices and time, after their inputs were applied; `inputs` says which these were."""

    def judge_all(self) -> Slices:
        """Judge every account at the book's prices and time."""

    def judge_held(self) -> Slices:
        """Judge every account with a pool that the breaker held, after it was closed."""

    def reasons(self, accounts_max: int) -> list[Judgement]:
        """Say plans and details that are due (`engine.events.reasons`) of so many accounts, the worst first; [] where none is due."""

    def on_instants(self, instants: Sequence[Instant]) -> Slices:
        """Take a batch of instants of believed marks in order and judge their holders after each of them."""

    def prime(self, marks: Sequence[Mark], prices: Prices) -> None:
        """Take these marks, and of `prices` all else, without judging anybody (before the first judgement)."""

    def on_clock(self, prices: Prices) -> Slices:
        """Move event time, take what has become stale or doubted for its age, judge whom either concerns.

        The marks of `prices` are not read: a book takes them instant by instant.
        """

    def concerned(self, symbol: str) -> Concerned:
        """Who would be concerned by doubt in a price symbol."""

    def look_at_unpaid(self, accounts_max: int) -> Iterator[None]:
        """Bring `unpaid` up to date, an account with a pool in liquidation each; the book may change between two of them.

        All that were not looked at since they came into liquidation, and at most `accounts_max` others, those that have waited longest.
        """

    @property
    def unpaid(self) -> Mapping[str, Decimal]:
        """By contract what taking over every pool in liquidation is expected to leave unpaid, in account currency."""

    def totals(self, edges: Sequence[Decimal]) -> Totals:
        """Counts and sums for metrics; `edges` are portfolio margin ratios."""

    def totals_in_parts(self, edges: Sequence[Decimal]) -> Iterator[Totals]:
        """`totals` in parts that add up, each a bounded piece of work; the book may change between two of them."""

    def heat_map_in_parts(
        self, points: Sequence[MarketPoint], routed_max: int | None = None
    ) -> Iterator[Heat]:
        """The liquidation heat map in parts that add up, each a bounded piece of work; the book may change between two.

        At most `routed_max` accounts that need it are computed exactly, those that have waited longest.
        """
