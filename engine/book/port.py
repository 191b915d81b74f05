"""What a shard asks of its book of accounts.

Rules every book keeps
----------------------
* Marks of a batch are judged *in order*: after each mark, every account that holds the symbol (or collateral
  priced by it) stands where the exact reference puts it at that instant.
* `Judgement`s come back in the order mark by mark, accounts sorted within one mark; only changes that must be
  made durable or said (band, degraded) are returned.
* A book holds its own view of prices, so that a batch is judged step by step; time is event time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from engine.accounts import AccountState
from engine.analytics.heat_map import MarketPoint
from engine.book.heat_map import Heat
from engine.effects import AccountRisk
from engine.inputs import Mark
from engine.judgement import Judgement
from engine.ladder import Band


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


class UnlistedHolding(Exception):  # noqa: N818 - it names what was found
    """An account holds an instrument or asset that the policy no longer lists, so it cannot be judged."""

    def __init__(self, account: str, holding: str) -> None:
        super().__init__(f"account {account!r} holds {holding}, which the policy does not list")


class AccountBook(Protocol):
    """All accounts of one shard."""

    screened: int
    """Holders answered for by `on_marks` since the start, without or with an exact judgement."""
    exact: int
    """Exact judgements since the start, whatever asked for them."""
    exact_routed: int
    """Of these the ones of routed accounts."""

    @property
    def routed(self) -> dict[str, int]:
        """Accounts that the book's shortcuts cannot express, by reason: judged exactly at every touch outside of their box."""

    @property
    def boxed(self) -> int:
        """Routed accounts that are in a box now: quiet until a price leaves it."""

    @property
    def unboxed(self) -> dict[str, int]:
        """Routed accounts that got no box when last judged, by reason: judged exactly at every touch."""

    def put(self, state: AccountState, risk: AccountRisk | None = None) -> None:
        """Insert or replace an account; without `risk` its risk record stays (a new one is healthy)."""

    def put_all(self, states: Iterable[AccountState]) -> None:
        """`put` each of these accounts."""

    def load(self, stored: Iterable[bytes], risks: Mapping[str, AccountRisk]) -> None:
        """Put many new accounts, each once, as `engine.accounts.encode` wrote them, with their risk records.

        Raises `UnlistedHolding` if the policy lacks something that one holds; the book is of no use then.
        """

    def state(self, account: str) -> AccountState | None:
        """The account's state, or None."""

    def risk(self, account: str) -> AccountRisk:
        """The account's risk record; a healthy one where nothing was ever said."""

    def accounts(self) -> Iterator[str]:
        """Every account, sorted."""

    def judge(self, accounts: Sequence[str]) -> list[Judgement]:
        """Judge these accounts at the book's prices and time, after their inputs were applied."""

    def judge_all(self) -> list[Judgement]:
        """Judge every account at the book's prices and time, sorted."""

    def on_marks(self, marks: Sequence[Mark]) -> list[Judgement]:
        """Take a batch of believed marks in order and judge every holder after each of them."""

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """Take prices, event time and the stale symbols without judging anybody (before the first judgement)."""

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> list[Judgement]:
        """Move event time, take the set of stale price symbols, judge whom either concerns."""

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
