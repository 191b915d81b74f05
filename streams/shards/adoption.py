"""Adopting what was published of an account and is not in the store, which was rewound. Pure."""

from typing import NamedTuple

from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.ladder import LadderState
from engine.policy import Policy
from streams.shards.newest import Newest


class Adoption(NamedTuple):
    """What becomes of an account."""

    risk: AccountRisk
    """Where it stands from now on, with numbers behind all that was published."""
    words: list[RiskEvent]
    """What `margin-events` lacks of what `liquidations` has told: said now."""


def adoption_of(risk: AccountRisk, newest: Newest, policy: Policy) -> Adoption | None:
    """What the newest events say beyond `risk`, which is the store's; None where they say nothing more. They have to name the account."""
    account = risk.account
    sequences = newest.sequences[account]
    known = {
        # what the store says from there on is of a history that was given up
        it: min(number, newest.void.get((account, it), number + 1) - 1)
        for it, number in risk.sequences.items()
    }
    was = {pool: it for pool, (_, it) in newest.before.get(account, {}).items()}
    if not was and all(number <= known.get(stream, 0) for stream, number in sequences.items()):
        return None
    told = {
        pool: it.ladder for pool, it in newest.told[account].items() if it.sequence > known.get(it.stream, 0)
    }
    pools = {pool: it for pool, it in {**risk.pools, **was, **told}.items() if it != LadderState()}
    # the log may end with old events that were published again
    highest = {it: max(sequences.get(it, 0), known.get(it, 0)) for it in {*sequences, *risk.sequences}}
    words = newest.lost(risk, known, highest, policy)
    if words:
        highest[Stream.MARGIN_EVENTS] = words[-1].sequence
    return Adoption(AccountRisk(account, pools, {it: highest[it] for it in Stream if it in highest}), words)
