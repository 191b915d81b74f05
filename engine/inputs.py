"""What moves an account: fills and ledger entries; and what moves prices: marks.

Rules
-----
* Two account-keyed topics, `fills` and `ledger`, reach a shard in no fixed order relative to each other. So
  every message carries *amounts that the exchange decided* (fees, realised transfers into an isolated
  position), and applying the messages of one topic commutes with applying those of the other: the state is a
  function of the two prefixes, not of how they were interleaved.
* Money is a decimal string; times are int64 nanoseconds of event time since the Unix epoch.
* `account_seq`, where the exchange sends it, counts the messages of one account in one topic, without gaps.
* Unknown fields are refused: a producer that says more than we understand must not be half understood.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

NAME_LENGTH_MAX = 128
"""Characters of an account, id, symbol or asset: they become Kafka and Redis keys."""

LIQUIDATION_ID_LENGTH_MAX = 512
"""Account, pool and number, each as long as it may be."""

LiquidationId = Annotated[str, msgspec.Meta(min_length=1, max_length=LIQUIDATION_ID_LENGTH_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
TimeNs = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Topic(StrEnum):
    """The two account-keyed input topics."""

    FILLS = "fills"
    LEDGER = "ledger"


PositionLeg = Literal["long", "short"]


class MarginMode(StrEnum):
    """Which pool carries a position: the account's shared one, or its own ring-fenced margin."""

    CROSS = "cross"
    ISOLATED = "isolated"


class _AccountInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    account: Name
    """Whose input it is; also the key of the record."""
    time_ns: TimeNs
    """Event time, in nanoseconds since the Unix epoch."""
    account_seq: Count | None = None
    """Counts the messages of the account in this topic, without gaps; None: repetitions are told apart by the id."""


class Fill(_AccountInput, frozen=True, tag="fill", kw_only=True):
    """One execution of an account's order."""

    trade_id: Name
    """Names this execution for ever, within the policy's `inputs.id_scope`."""
    symbol: Name
    """An instrument of the policy."""
    side: Literal["buy", "sell"]
    """What the account did."""
    quantity: Decimal
    """Contracts (or base units of a spot instrument), > 0."""
    price: Decimal
    """In the instrument's settle asset per unit of underlying; > 0, but where the policy says `negative_prices` of the instrument."""
    fee: Decimal = Decimal(0)
    """Charged to the wallet, in `fee_asset`; negative for a rebate."""
    fee_asset: Name | None = None
    """Default: the instrument's settle asset."""
    margin_mode: MarginMode = MarginMode.CROSS
    """`isolated`: the position stands on margin of its own."""
    leg: PositionLeg | None = None
    """Hedge mode: which leg of the symbol the fill belongs to; None in one-way mode."""
    margin_transfer: Decimal = Decimal(0)
    """Isolated only: amount of settle asset moved from the wallet into the position's margin (< 0: released)."""
    liquidation_id: LiquidationId | None = None
    """Set by the exchange when the fill executes a liquidation intent."""

    @property
    def input_id(self) -> str:
        """Identity for deduplication."""
        return self.trade_id


class OrderUpdate(_AccountInput, frozen=True, tag="order_update", kw_only=True):
    """What is left of one open order now; 0 once it is filled, cancelled or expired.

    It travels with the fills, because the two come from one matching engine in one order.
    """

    update_id: Name
    """Names this update for ever."""
    order_id: Name
    """The order; its newest update counts."""
    symbol: Name
    """An instrument of the policy."""
    side: Literal["buy", "sell"]
    """Of the order."""
    quantity: Decimal
    """Contracts (or base units of a spot instrument) still open, >= 0."""
    price: Decimal
    """As of a fill."""
    reduce_only: bool = False
    """Whether it can only close; such an order requires no margin. Of a spot order it says nothing: there is no position to close."""
    margin_mode: MarginMode = MarginMode.CROSS
    """As of a fill."""
    leg: PositionLeg | None = None
    """As of a fill."""

    @property
    def input_id(self) -> str:
        """Identity for deduplication."""
        return self.update_id


class Settlement(_AccountInput, frozen=True, tag="settlement", kw_only=True):
    """A delivery future or option expired: every cross position of the account in it closes at `price`.

    It travels with the fills, which it ends. Isolated positions are closed by fills of the exchange.
    """

    settlement_id: Name
    """Names this settlement for ever."""
    symbol: Name
    """The contract that expired."""
    price: Decimal
    """The final price of the contract, as of a fill; for an option what it pays per unit, >= 0."""

    @property
    def input_id(self) -> str:
        """Identity for deduplication."""
        return self.settlement_id


class _LedgerInput(_AccountInput, frozen=True, kw_only=True):
    entry_id: Name
    """Names this entry for ever."""

    @property
    def input_id(self) -> str:
        """Identity for deduplication."""
        return self.entry_id


class Deposit(_LedgerInput, frozen=True, tag="deposit", kw_only=True):
    """Credit `amount` > 0 of `asset` to the wallet."""

    asset: Name
    """An asset of the policy."""
    amount: Decimal
    """Coins, > 0."""
    liquidation_id: LiquidationId | None = None
    """Set by the exchange when the entry executes a liquidation intent: a debt is repaid, a balance taken over."""


class Withdrawal(_LedgerInput, frozen=True, tag="withdrawal", kw_only=True):
    """Debit `amount` > 0 of `asset` from the wallet; already granted by the exchange, so never refused here."""

    asset: Name
    """An asset of the policy."""
    amount: Decimal
    """Coins, > 0."""
    liquidation_id: LiquidationId | None = None
    """As of a deposit."""


class IsolatedTransfer(_LedgerInput, frozen=True, tag="isolated_transfer", kw_only=True):
    """Move `amount` of settle asset from the wallet into an isolated position's margin (< 0: back)."""

    symbol: Name
    """Whose position it is."""
    amount: Decimal
    """Coins of the settle asset; < 0 moves them back."""
    leg: PositionLeg | None = None
    """As of a fill."""
    liquidation_id: LiquidationId | None = None
    """As of a deposit."""


class FundingPayment(_LedgerInput, frozen=True, tag="funding_payment", kw_only=True):
    """Funding settled by the exchange: `amount` of settle asset credited (< 0: charged) to the position's pool."""

    symbol: Name
    """The perpetual."""
    amount: Decimal
    """Coins of the settle asset; < 0 is paid by the account."""
    margin_mode: MarginMode = MarginMode.CROSS
    """`isolated`: the position's own margin receives or pays it."""
    leg: PositionLeg | None = None
    """As of a fill."""


class Fee(_LedgerInput, frozen=True, tag="fee", kw_only=True):
    """Debit `amount` of `asset` from the wallet (< 0: a refund)."""

    asset: Name
    """An asset of the policy."""
    amount: Decimal
    """Coins; < 0 is a refund."""


class Interest(_LedgerInput, frozen=True, tag="interest", kw_only=True):
    """Interest accrued on a loan: debit `amount` of `asset` from the wallet (< 0: credited)."""

    asset: Name
    """An asset of the policy."""
    amount: Decimal
    """Coins; < 0 is credited."""


class AccountSetting(_LedgerInput, frozen=True, tag="account_setting", kw_only=True):
    """What the account chose for its shared pool; None leaves a choice as it is."""

    margin_model: Literal["cross", "portfolio"] | None = None
    """By which model its shared pool is judged."""
    collateral_off: tuple[Name, ...] | None = None
    """The whole list of assets that the account does not pledge as collateral."""


class LeverageSetting(_LedgerInput, frozen=True, tag="leverage_setting", kw_only=True):
    """The account's chosen leverage (>= 1) for one symbol; it sets initial margin, never balances."""

    symbol: Name
    """An instrument of the policy."""
    leverage: Decimal
    """Notional over initial margin, >= 1."""


class Resume(_LedgerInput, frozen=True, tag="resume", kw_only=True):
    """An operator's word that a stopped account may go on in the topic that carries this entry."""

    reason: str
    """Why it may, for a person."""
    next_account_seq: Count | None = None
    """The `account_seq` to expect next; None keeps the expectation."""
    stop_offset: Count | None = None
    """Offset of the stop that it lifts, so that a late repeat lifts no other; None lifts whatever there is."""


FillsInput = Fill | OrderUpdate | Settlement | Resume
LedgerInput = (
    Deposit
    | Withdrawal
    | IsolatedTransfer
    | FundingPayment
    | Fee
    | Interest
    | LeverageSetting
    | AccountSetting
    | Resume
)
AccountInput = FillsInput | LedgerInput


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mark", omit_defaults=True):
    """A price: the mark price of a contract, or the index price of an asset, under its price symbol."""

    symbol: Name
    """A price symbol of the policy: a contract's own, or an asset's `index`."""
    price: Decimal
    """Of a contract in its settle asset, of an index in account currency."""
    sequence: Count
    """Strictly increasing per symbol within one `epoch`."""
    time_ns: TimeNs
    """Event time of the price, in nanoseconds since the Unix epoch."""
    volatility: Decimal | None = None
    """Options: implied volatility per year, 0.65 for 65 %."""
    funding_rate: Decimal | None = None
    """Perpetuals: rate of the running funding interval; longs pay when positive."""
    average_price: Decimal | None = None
    """Time-weighted average of the price, for policies that value conservatively."""
    confidence: Decimal | None = None
    """Of the price's source, 0..1, for policies that charge for doubt."""
    open_interest: Decimal | None = None
    """Contracts open on the whole market, one side of it, for policies whose initial margin scales with it. This amount and the next
    four hold until another is stated: a mark that leaves one out leaves it as it was."""
    deposits: Decimal | None = None
    """Index prices: coins of the asset that all accounts of the exchange hold, for policies whose collateral scales with it."""
    borrows: Decimal | None = None
    """Index prices: coins that all accounts of the exchange owe, for policies whose liabilities scale with it."""
    potential_deposits: Decimal | None = None
    """Index prices: coins that open spot orders of the exchange may turn into deposits; they count beside them."""
    realisable_share: Decimal | None = None
    """Perpetuals and futures: of all unrealised profits in the contract, the share that those who lose in it can pay, 0..1, for policies
    that count a profit no further than that."""
    epoch: Count = 0
    """Of the feed: a higher one begins sequences anew. A feed that never restarts them, or sends none, leaves it out."""


class MarkBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="marks"):
    """Many marks in one record, in the order in which they came about."""

    marks: tuple[Mark, ...]
    """Together they are one instant (policy `prices.instant`): all are set before anybody is judged."""


PriceInput = Mark | MarkBatch
