"""The first kind of no: a rejection is a value with a code, never an exception.

Codes are part of the contract: they label metrics, quarantine headers and logs, so they are only ever added.
"""

from enum import StrEnum

import msgspec


class RejectionCode(StrEnum):
    """Why an input or a mark was not applied."""

    # records (codec)
    OVERSIZED = "oversized"
    """Longer than a record of its topic may be."""
    NOT_UTF8 = "not_utf8"
    """Bytes that are no UTF-8 text."""
    MALFORMED = "malformed"
    """Not complete JSON: truncated, or not JSON at all."""
    WRONG_SHAPE = "wrong_shape"
    """JSON, but a field is missing, unknown or of the wrong type."""
    OUT_OF_RANGE = "out_of_range"
    """A number that is not finite, has too many digits, or the wrong sign."""
    KEY_MISMATCH = "key_mismatch"
    """The record's key is not the account that its value names."""
    TIME_IMPLAUSIBLE = "time_implausible"
    """A time long before any exchange of coins, or days ahead of the log: most often in another unit than nanoseconds."""
    WRONG_PARTITION = "wrong_partition"
    """The record is not in the partition that its key hashes to, so its account would be split in two."""

    # account inputs (ledger)
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    """The policy lists no such instrument."""
    UNKNOWN_ASSET = "unknown_asset"
    """The policy lists no such asset."""
    NO_ISOLATED_OPTIONS = "no_isolated_options"
    """Options are margined in the shared pool only."""
    LEG_EXCEEDED = "leg_exceeded"
    """Hedge mode: it closes more of a leg than the leg holds; a long leg is never short, nor a short one long."""
    UNKNOWN_MARGIN_MODEL = "unknown_margin_model"
    """The account chose a margin model that the policy has no rules for."""
    TOO_MANY_ORDERS = "too_many_orders"
    """One more open order than the policy's `inputs.open_orders_max`."""
    SEQUENCE_GAP = "sequence_gap"
    """`account_seq` skipped a number: an input of this account is missing."""
    ID_CONTRADICTION = "id_contradiction"
    """An input of this id (or of this `account_seq`) was applied, and said something else: one of the two is wrong, or the exchange counts
    its ids within less than the policy's `inputs.id_scope`."""
    TOO_LATE = "too_late"
    """Without `account_seq`, and not newer than ids that were forgotten: whether it was applied before cannot be told any more."""
    ACCOUNT_STOPPED = "account_stopped"
    """An earlier input of this account and topic was refused; nothing after the hole is applied."""
    ENGINE_ERROR = "engine_error"
    """The engine itself failed on this account, while an input was applied or it was judged: a bug, which the log has the traceback of."""

    UNLISTED_HOLDING = "unlisted_holding"
    """Not of an input: the account holds what the policy does not list, so its figures are those of the rest."""

    EVENT_REFUSED = "event_refused"
    """Not of an input: Kafka takes an event of the account for no price (it is too large), so nobody would learn of it."""

    # marks (mark book)
    UNKNOWN_SYMBOL = "unknown_symbol"
    """No price symbol of the policy."""
    NOT_FINITE = "not_finite"
    """A price or a fact that is no finite number, or has too many digits."""
    NOT_POSITIVE = "not_positive"
    """A price of 0 or below where prices are above 0, or a fact below 0."""
    OLD_SEQUENCE = "old_sequence"
    """Not newer than the last believed mark, and not yet recognised as the restart of a feed."""
    SEQUENCE_UNCONFIRMED = "sequence_unconfirmed"
    """Absurdly far ahead of the last believed mark's, and not yet gone on from by enough marks."""
    FUTURE_DATED = "future_dated"
    """Dated further ahead of its receipt than the policy's `prices.future_tolerance_seconds`."""
    JUMP_UNCONFIRMED = "jump_unconfirmed"
    """Too far from the believed price of a moment ago and not yet confirmed by enough marks, apart in time."""
    REFERENCE_UNCONFIRMED = "reference_unconfirmed"
    """A first mark too far from the symbol's reference, and not yet confirmed in the same way."""
    FACT_OUT_OF_RANGE = "fact_out_of_range"
    """A volatility, funding rate, average price or confidence outside of the policy's range; the detail names it."""
    FACT_JUMP_UNCONFIRMED = "fact_jump_unconfirmed"
    """... too far from what it was a moment ago, and not yet confirmed."""


class Rejection(msgspec.Struct, frozen=True):
    """A refusal: its code, and a sentence for a person naming the field and the rule."""

    code: RejectionCode
    detail: str


class Duplicate(msgspec.Struct, frozen=True):
    """The input was applied before (same id, or an `account_seq` already passed); nothing to do."""

    input_id: str
