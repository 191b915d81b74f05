"""The durable state of one account: a pure function of its fills prefix and its ledger prefix.

Marks never appear here, so the state does not depend on how prices and inputs were interleaved. A position
keeps its *entry value* (sum of quantity x multiplier x price), not an average price: additions are exact, and
what a reduction takes out plus what stays is always what was there. Every amount is stored in its canonical
form (`engine.numbers.canonical`).

A state with a field that this edition does not know is refused, never read without it: it would be written back with a loss.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Topic
from engine.numbers import ZERO
from engine.rejections import RejectionCode
from engine.strict_decoding import StrictDecoder


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open contracts of one symbol."""

    quantity: Decimal
    """Signed contracts; > 0 is long. Never zero in a stored state."""
    entry_value: Decimal
    """Signed value of the open quantity at its entry prices, in settle asset: quantity x multiplier x average entry
    price, or quantity x multiplier / price for an inverse contract."""


FLAT = Position(quantity=ZERO, entry_value=ZERO)


class IsolatedPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position with its own ring-fenced margin; either part may be zero, not both."""

    position: Position
    margin: Decimal
    """Settle asset held by this position alone, realised P&L and funding included."""


class OpenOrder(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is left of an order that rests in the exchange's book."""

    symbol: str
    quantity: Decimal
    """Signed contracts (or base units of a spot pair) still to be filled; > 0 buys."""
    price: Decimal
    isolated: bool = False
    reduce_only: bool = False
    leg: str | None = None


class Late(msgspec.Struct, frozen=True):
    """What came for an older liquidation once a newer one of the pool had begun."""

    liquidation_id: str
    inputs: int


class Execution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the inputs that name one liquidation have done so far."""

    liquidation_id: str
    fills: int
    closed: dict[str, Decimal]
    """Contracts (or base units of a spot pair) by symbol, each > 0."""
    entries: int = 0
    """Of the ledger."""
    moved: dict[str, Decimal] = {}
    """Coins by asset that its entries have brought into the wallet; < 0 have been taken out of it."""
    late: Late | None = None
    """The last older one that something came for meanwhile."""


class Stop(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Why this topic of the account no longer moves it, and since which input offset."""

    code: RejectionCode
    offset: int
    through_seq: int | None = None
    """After a gap: the highest `account_seq` refused so far. The stop ends by itself once all up to it came."""
    unjudged: bool = False
    """The engine failed while it judged the account, which is judged no more until an operator resumes the topic."""


class Remembered(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which ids of applied inputs are remembered: those of two generations at most (`engine.ledger.remembering`). Times are event time."""

    generation: int
    """Number of the one that ids are added to now; the one before it has the number below."""
    ids: int = 0
    """How many it has."""
    began_ns: int = 0
    newest_ns: int = 0
    before_ids: int = 0
    """How many the generation before it has; 0 where that is forgotten."""
    before_newest_ns: int = 0
    before_expected: int = 0
    """How many ids the generation before that one had: as many as it was laid out for."""
    forgotten_ns: int = -1
    """The newest input whose id was forgotten, or was never remembered because it had an `account_seq`; -1: all are known."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How far one input topic has been applied to the account."""

    offset: int = -1
    """Offset of the last applied input of this account; -1 before the first."""
    next_seq: int | None = None
    """The `account_seq` expected next, once the exchange has sent one."""
    stop: Stop | None = None
    remembered: Remembered | None = None
    """None before the first input; and in a state of an edition that kept ids in lists, which is then generation 0."""
    newest_digest: str | None = None
    """Of what the input with the newest `account_seq` said (`engine.ledger.remembering.digest_of`)."""


class AccountState(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One account. Mappings are never changed in place; zero entries are never kept."""

    account: str
    balances: dict[str, Decimal] = {}
    """Wallet by asset; negative is a liability."""
    positions: dict[str, Position] = {}
    """Cross positions by position key: the symbol, or symbol and leg in hedge mode."""
    isolated: dict[str, IsolatedPosition] = {}
    """By position key (`engine.position_keys`), as `positions`."""
    leverage: dict[str, Decimal] = {}
    """By symbol."""
    fills: Progress = Progress()
    ledger: Progress = Progress()
    orders: Mapping[str, OpenOrder] = {}
    """Open orders by order id."""
    margin_model: str | None = None
    """"cross" or "portfolio"; None follows the policy."""
    collateral_off: tuple[str, ...] = ()
    """Assets that the account does not pledge as collateral, sorted."""
    executions: dict[str, Execution] = {}
    """The newest liquidation that fills have named, by pool: "" is the shared one, else the isolated position's key."""
    conversions: dict[str, Execution] = {}
    """The newest liquidation that ledger entries have named, by pool; each topic counts by itself (`ledger.executions`)."""
    funded_ns: dict[str, int] = {}
    """The settlement up to which funding is booked, by key of the cross position; only where the policy counts what accrues. Kept when the
    position is closed."""
    isolated_funded_ns: dict[str, int] = {}
    """The same of isolated positions."""
    orders_apart: bool = False
    """Whether the open orders are so many that they are stored beside the state (`engine.ledger.orders_apart`)."""

    @property
    def stopped(self) -> bool:
        """Whether an input was refused and the account must not be trusted."""
        return self.fills.stop is not None or self.ledger.stop is not None

    @property
    def unjudged(self) -> bool:
        """Whether the engine failed while it judged the account: nobody asks again before an operator's word."""
        return any(it.stop is not None and it.stop.unjudged for it in (self.fills, self.ledger))

    def progress(self, topic: Topic) -> Progress:
        """How far that topic has been applied."""
        return self.fills if topic is Topic.FILLS else self.ledger


def plain(orders: object) -> dict[str, OpenOrder]:
    """A mapping of orders as an encoder takes it: the hook for what encodes a state."""
    if isinstance(orders, Mapping):
        return dict(orders)
    raise NotImplementedError(f"a state holds no {type(orders).__name__}")


_encoder = msgspec.json.Encoder(order="deterministic", enc_hook=plain)
_decoder = msgspec.json.Decoder(AccountState)
_strict = StrictDecoder[AccountState](AccountState)


def encode(state: AccountState) -> bytes:
    """JSON with sorted keys. Every amount of a state is `numbers.canonical`, so equal states give equal bytes."""
    return _encoder.encode(state)


def decode(data: bytes) -> AccountState:
    """Read what `encode` wrote. Raises `msgspec.MsgspecError` for anything else: a broken invariant."""
    state = _decoder.decode(data)
    if state.executions or state.conversions:
        _strict.check(data)  # these are told in events as well, where fields may be passed over
    return state
