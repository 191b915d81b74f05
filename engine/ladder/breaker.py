"""The breaker of a shard: when too much is condemned at once, liquidations wait for a person. Nothing else does.

    closed --(a cause condemns more than the policy's share)--> open       everything it condemned, and everything after, is held
    open   --(release)--> closed    what is held is judged without the hold, and is not counted again
    open   --(void)-----> closed    what is held is judged afresh: still too much opens it again

A wrong price, a wrong ledger and a real crash look alike to one account; they differ in how many it takes at once. A cause is one
instant of marks, one batch of inputs, one look at the clock, or all of these within the policy's window of event time. Condemned is
a pool that enters liquidation or bankruptcy from a better band.

Rules
-----
* share = condemned / all, of accounts that hold or owe anything, of open interest and of equity; the largest decides. Open interest
  is |quantity| at the prices before the window, for a wrong price must not make light of what it condemns. Equity is what was
  paid in: wallets before the batch. After the cause it would be next to nothing for exactly those whom it condemns.
* A pool that an operator released is not counted when it enters liquidation.
* Sums are floats and differ in their last digits with the order of adding, so a share counts as beyond only by more than 1e-9 of itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from heapq import nlargest
from typing import NamedTuple

import msgspec

from engine.ladder.states import LadderState
from engine.ladder.table import LIQUIDATING
from engine.marks.instants import InstantName
from engine.marks.mark_book import NANOSECONDS
from engine.policy.rules.breaker_rules import BreakerRules

CAUSES = ("instant", "batch", "clock", "start", "void", "window")
"""What `Cause.kind` may be."""
ROUNDING = 1e-9
ROUNDED_UP = 1 + 1e-6
"""Of a sum that must not turn out smaller than another of the same parts."""
SYMBOLS_NAMED_MAX = 3
WORST_NAMED_MAX = 10
COMMANDS_KEPT_MAX = 256
"""Ids of operators' commands that are remembered, so that none acts twice; older ones are too old to concern an opening."""

_replace = msgspec.structs.replace


class Stake(msgspec.Struct, frozen=True):
    """How much: of a pool, of what is held, of a shard. Sums of floats in account currency, for comparing and showing."""

    accounts: int = 0
    open_interest: float = 0.0
    equity: float = 0.0

    def plus(self, other: "Stake", sign: int = 1) -> "Stake":
        """Both together, or with `sign` -1 what is left."""
        return Stake(
            self.accounts + sign * other.accounts,
            self.open_interest + sign * other.open_interest,
            self.equity + sign * other.equity,
        )


class SymbolMove(msgspec.Struct, frozen=True):
    """A price that took money from the condemned."""

    symbol: str
    before: float
    """At the beginning of the window."""
    price: float
    loss: float
    """Of all condemned together, in account currency."""


class InputsTaken(msgspec.Struct, frozen=True):
    """What a batch brought from one input topic."""

    topic: str
    first_offset: int
    last_offset: int
    kinds: dict[str, int]
    """Number of inputs by their type, the most frequent first."""


class Cause(msgspec.Struct, frozen=True):
    """What condemned too many."""

    kind: str
    """instant | batch | clock (a deadline ran out, a price became stale) | start (of judging) | void (what an operator voided, judged
    afresh) | window (several of these)."""
    time_ns: int
    instant: InstantName | None = None
    """The instant of marks that it ended with; None for others."""
    symbols: tuple[SymbolMove, ...] = ()
    """The prices that took most from the condemned."""
    inputs: tuple[InputsTaken, ...] = ()


class HeldPool(msgspec.Struct, frozen=True):
    """One of the largest pools that were held."""

    account: str
    position: str | None
    open_interest: float
    equity: float


class Opening(msgspec.Struct, frozen=True):
    """Why the breaker opened."""

    number: int
    """Counts the openings of the shard, from 1: what `LadderState.held_by` names."""
    cause: Cause
    limit: str
    """The share that was exceeded most: accounts | open_interest | equity."""
    share: float
    share_max: Decimal
    condemned: Stake
    """By the cause, those included whose liquidation had been requested within the window."""
    of: Stake
    """The whole shard."""
    worst: tuple[HeldPool, ...]
    """The largest of the held, by open interest."""


class Condemned(msgspec.Struct, frozen=True):
    """What one second of event time has condemned and was not held."""

    second: int
    stake: Stake
    inputs: tuple[InputsTaken, ...] = ()


class BreakerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The durable side of a shard's breaker."""

    openings: int = 0
    opening: Opening | None = None
    """While it is open."""
    released: int = 0
    """The newest opening that an operator released; what it, or one before it, held is not counted again."""
    held: Stake = Stake()
    window: tuple[Condemned, ...] = ()
    sequence: int = 0
    """Number of events said."""
    commands: tuple[str, ...] = ()
    """Ids of operators' commands that were taken, oldest first."""


class Occasion(NamedTuple):
    """What asks for judgements: see `Cause`."""

    kind: str
    time_ns: int
    instant: InstantName | None = None
    inputs: tuple[InputsTaken, ...] = ()


class Breaker:
    """Counts what causes condemn, and says whether liquidations are held."""

    def __init__(self, rules: BreakerRules | None) -> None:
        """Closed. Without rules it never opens."""
        self._rules = rules
        self.state = BreakerState()
        self.held: dict[str, Stake] = {}
        """By account, what is held now."""
        self._opening = False
        """Whether it is open already, while those whom the cause condemns are still being judged."""
        self.before: dict[str, float] = {}
        """Prices before the window, by symbol."""
        self.totals: Stake | None = None
        """Of the shard, as of the cause that is being heard; None until somebody needs it."""

    @property
    def armed(self) -> bool:
        """Whether the policy has one."""
        return self._rules is not None

    @property
    def hold(self) -> int | None:
        """Number of the opening while it is open."""
        if self._opening:
            return self.state.openings + 1
        return None if self.state.opening is None else self.state.opening.number

    def load(self, state: BreakerState) -> None:
        """Take over what the store holds; what is held is counted anew when it is judged."""
        self.state = _replace(state, held=Stake())
        self.held = {}

    def pass_time(self, now_ns: int, prices: Callable[[], dict[str, float]], *, anew: bool = False) -> None:
        """Event time has come to `now_ns`; while nothing is condemned the prices now are those before the window."""
        if self._rules is None:
            return
        window = self._within(now_ns)
        if len(window) < len(self.state.window):
            self.state = _replace(self.state, window=window)
        if anew or not (self.state.window or self.state.opening):
            self.before = prices()

    def counts(self, before: LadderState, after: LadderState) -> bool:
        """Whether the pool was condemned by this judgement."""
        if after.band not in LIQUIDATING or before.band in LIQUIDATING:
            return False
        return before.held_by is None or before.held_by > self.state.released

    def within_window(self, time_ns: int) -> Stake:
        """What was condemned, and not held, within the window that ends at `time_ns`."""
        return _sum(it.stake for it in self._within(time_ns))

    def may_open(self, at_most: Stake, of: Callable[[], Stake]) -> bool:
        """Whether a cause that condemns this much at most may open it."""
        if self._rules is None or at_most.accounts < self._rules.accounts_min:
            return False
        most = Stake(at_most.accounts, at_most.open_interest * ROUNDED_UP, at_most.equity * ROUNDED_UP)
        return _beyond(most, self._whole(of), self._rules) is not None

    def beyond(self, condemned: Stake, of: Callable[[], Stake]) -> tuple[str, float, Decimal] | None:
        """The share that is exceeded most: its name, how much it is and may be; None where none is."""
        rules = self._rules
        if rules is None or condemned.accounts < rules.accounts_min:
            return None
        return _beyond(condemned, self._whole(of), rules)

    def _whole(self, of: Callable[[], Stake]) -> Stake:
        if self.totals is None:
            self.totals = of()
        return self.totals

    def condemned(self, stake: Stake, occasion: Occasion) -> None:
        """This much was condemned and not held."""
        second = occasion.time_ns // NANOSECONDS
        window = self._within(occasion.time_ns)
        if window and window[-1].second >= second:
            last = window[-1]
            joined = Condemned(last.second, last.stake.plus(stake), together((last.inputs, occasion.inputs)))
            window = (*window[:-1], joined)
        else:
            window = (*window, Condemned(second, stake, occasion.inputs))
        self.state = _replace(self.state, window=window)

    def begin_cause(self) -> None:
        """What another cause condemns is judged from here on: the whole shard is counted anew where somebody needs it.

        Kept from one cause to the next, it would depend on whom a book asks about, and so would what opens the breaker.
        """
        self.totals = None

    def begin_holding(self) -> None:
        """From here on liquidations are held; `open` says why when all whom the cause concerns were judged."""
        self._opening = True

    def open(self, opening: Opening) -> None:
        """It is open, for this reason. The window begins anew when it is closed."""
        self._opening = False
        self.state = _replace(self.state, openings=opening.number, opening=opening, window=())

    def keep(self, account: str, stake: Stake) -> None:
        """The account has a pool that is held."""
        if account not in self.held:
            self.held[account] = stake
            self.state = _replace(self.state, held=self.state.held.plus(stake))

    def let_go(self, account: str) -> None:
        """The account has none any more."""
        stake = self.held.pop(account, None)
        if stake is not None:
            left = self.state.held.plus(stake, -1) if self.held else Stake()
            self.state = _replace(self.state, held=left)

    def close(self, *, released: bool) -> Opening:
        """An operator releases or voids what it holds; returns the opening that ends. Raises AssertionError if it is closed."""
        opening = self.state.opening
        if opening is None:
            raise AssertionError("the breaker is closed")
        past = opening.number if released else self.state.released
        self.state = _replace(self.state, opening=None, released=past, window=())
        return opening

    def commanded(self, command_id: str, time_ns: int) -> bool:
        """Take an operator's command; whether it concerns the opening that there is now: open since, and never taken before."""
        state = self.state
        if command_id in state.commands:
            return False
        opening = state.opening
        if opening is None or opening.cause.time_ns > time_ns:
            return False
        self.state = _replace(state, commands=(*state.commands, command_id)[-COMMANDS_KEPT_MAX:])
        return True

    def numbered(self) -> int:
        """The number of the next event."""
        self.state = _replace(self.state, sequence=self.state.sequence + 1)
        return self.state.sequence

    def _within(self, time_ns: int) -> tuple[Condemned, ...]:
        if not self.state.window or self._rules is None:
            return ()
        since = (time_ns - int(self._rules.window_seconds * NANOSECONDS)) // NANOSECONDS
        return tuple(it for it in self.state.window if it.second >= since)


def together(batches: Iterable[Sequence[InputsTaken]]) -> tuple[InputsTaken, ...]:
    """What several batches brought, by topic."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    offsets: dict[str, list[int]] = defaultdict(list)
    for taken in (it for batch in batches for it in batch):
        kinds[taken.topic].update(taken.kinds)
        offsets[taken.topic] += [taken.first_offset, taken.last_offset]
    return tuple(
        InputsTaken(topic, min(offsets[topic]), max(offsets[topic]), dict(sorted(counts.items(), key=_most)))
        for topic, counts in sorted(kinds.items())
    )


def worst(held: Iterable[HeldPool]) -> tuple[HeldPool, ...]:
    """The largest of the held."""
    return tuple(nlargest(WORST_NAMED_MAX, held, key=lambda it: (it.open_interest, it.account)))


def _beyond(condemned: Stake, whole: Stake, rules: BreakerRules) -> tuple[str, float, Decimal] | None:
    limits = (
        ("accounts", condemned.accounts, whole.accounts, rules.accounts_share_max),
        ("open_interest", condemned.open_interest, whole.open_interest, rules.open_interest_share_max),
        ("equity", condemned.equity, whole.equity, rules.equity_share_max),
    )
    # share = condemned / all; all that was condemned is part of all, whatever an old sum says
    shares = [(name, part / max(part, of) if part else 0.0, most) for name, part, of, most in limits]
    beyond = [it for it in shares if it[1] > float(it[2]) * (1 + ROUNDING)]
    return max(beyond, key=lambda it: it[1] / float(it[2]), default=None)


def _sum(stakes: Iterable[Stake]) -> Stake:
    whole = Stake()
    for stake in stakes:
        whole = whole.plus(stake)
    return whole


def _most(kind: tuple[str, int]) -> tuple[int, str]:
    return -kind[1], kind[0]
