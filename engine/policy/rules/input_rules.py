"""How the inputs of an account are told apart, and how much an account may have resting."""

from engine.policy.rules.policy_switches import IdScope
from engine.policy.rules.tables import Table


class InputRules(Table, frozen=True, kw_only=True):
    """What holds of every input of fills and ledger. It is policy because every worker and every replay must decide alike."""

    id_scope: IdScope = IdScope.ACCOUNT
    remember_ms: int = 3_600_000
    """Where no `account_seq` is sent: event time of the account for which an id that was applied is remembered, at least, and twice that at
    most. A producer sends again within minutes: its own retries end after two, one that is restarted goes on from its last checkpoint."""
    remembered_ids_max: int = 32_768
    """The bound that is kept whatever the time says, per account and topic: so many ids at most, of which the newer half is never
    forgotten. About 25 bytes of Redis each. At 100 inputs a second the newest 2.7 minutes at least."""
    open_orders_max: int = 10_000
    """Open orders of an account. The exchange refuses an order beyond its own bound, so an update that opens one beyond this says that the two
    differ: it is refused and stops its account, for margin without that order would be too low in silence. What changes or
    ends an order that is open is always taken. Judging an account takes about 2 us an order."""


def faults(rules: InputRules) -> list[tuple[str, str]]:
    """(key, rule) of every rule that these break."""
    found = []
    if rules.remember_ms < 1:
        found.append(("remember_ms", "must be >= 1"))
    if rules.remembered_ids_max < 2:  # noqa: PLR2004 - two halves
        found.append(("remembered_ids_max", "must be >= 2"))
    if rules.open_orders_max < 1:
        found.append(("open_orders_max", "must be >= 1"))
    return found
