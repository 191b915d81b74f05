"""Who hears of what: the rules of the notifier, from a TOML file.

    [targets.desk]
    kind = "webhook"
    url = { env = "DESK_HOOK_URL" }
    secret = { file = "/run/secrets/desk-hook" }

    [rules.calls]
    entered = ["margin_call", "reduce_only"]
    accounts = ["vip-*"]
    targets = ["desk"]

Addresses and keys are secrets: the file names the environment variable or the file that holds each, never the secret itself.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from engine.ladder import Band


class TargetKind(StrEnum):
    """How a target is told."""

    WEBHOOK = "webhook"
    """A POST signed as Standard Webhooks say."""
    PAGERDUTY = "pagerduty"
    """Events v2: one incident an episode."""
    APPRISE = "apprise"
    """Chat, mail and whatever else `apprise` knows an address form of."""
    ALERTMANAGER = "alertmanager"
    """Alertmanager v2: how many events of each type, and of no account."""


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is; exactly one of both."""

    env: str | None = None
    file: str | None = None


class QuietHours(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"begin": "from", "end": "to"}
):
    """When a target is not disturbed. Liquidations, bankruptcies and ends of incidents are never quiet."""

    begin: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """Before `begin`: of the next day."""
    zone: str
    """Name of the time zone, as `Europe/Berlin`."""


class TargetRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One target. Which keys it needs hangs on its kind."""

    kind: TargetKind
    url: SecretSource | None = None
    """webhook, apprise; alertmanager: its root, as `http://alertmanager:9093`."""
    secret: SecretSource | None = None
    """webhook: the key that signs, base64 as Standard Webhooks want it, with or without `whsec_`."""
    routing_key: SecretSource | None = None
    """pagerduty: of the integration."""
    endpoint: str = "https://events.pagerduty.com/v2/enqueue"
    """pagerduty: where its events go; no secret."""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    """Of one attempt."""
    give_up_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 120.0
    """For so long a message is tried again before it becomes a dead letter."""
    digest_above: Annotated[int, msgspec.Meta(ge=1)] = 20
    """Messages in one `digest_seconds`; what comes beyond is told in one message at its end. An alertmanager gets nothing else."""
    digest_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    quiet: QuietHours | None = None


class RuleLine(StrEnum):
    """A line of the ladder that an account can come near to."""

    WARNING = "warning"
    MARGIN_CALL = "margin_call"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATION = "liquidation"


class NotifyRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule: an event that has all that is stated goes to the targets, or an account that comes near a line."""

    within_percent: Decimal | None = None
    """An account of which a move of the whole market by so much, up or down, brings a pool to `line`. In place of `types` and `entered`."""
    line: RuleLine | None = None
    """With `within_percent`; the margin call where it is left out."""
    types: tuple[str, ...] = ()
    """Types of events, or patterns of them (`margin.call.*`)."""
    entered: tuple[Band, ...] = ()
    """Bands that a pool entered with the event."""
    accounts: tuple[str, ...] = ()
    """Accounts, or patterns of them."""
    groups: tuple[str, ...] = ()
    """Groups of accounts; an account of one of them or of `accounts` counts."""
    equity_min: Decimal | None = None
    """Equity of the pool, in account currency."""
    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class NotifyRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file."""

    targets: dict[str, TargetRules]
    rules: dict[str, NotifyRule]
    groups: dict[str, tuple[str, ...]] = {}
    """Accounts, or patterns of them, by name of the group."""
