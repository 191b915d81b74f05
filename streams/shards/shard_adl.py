"""The deleveraging risk of the contracts that a shard is home to: where they stand, and what is said of it. No I/O, no clock."""

from collections.abc import Mapping

import msgspec

from engine.events.adl_events import AdlEvent, adl_changes, adl_subject
from engine.liquidation.adl_risk import AdlLevel, AdlState, FundExposure
from engine.policy import Policy
from streams.contract.commit import Commit
from streams.shards.shard_identity import ShardIdentity


class ShardAdl:
    """Kept ahead of the store by one commit."""

    def __init__(self, identity: ShardIdentity, policy: Policy) -> None:
        """Of no contract there is anything to remember; `load` brings it."""
        self._identity = identity
        self._states: dict[str, AdlState] = {}
        self.rule_by(policy)

    def load(self, states: Mapping[str, AdlState]) -> None:
        """Take over where contracts stand, as the store holds it."""
        self._states = dict(states)

    def rule_by(self, policy: Policy) -> None:
        """Another policy is in force."""
        self._policy = policy
        self._contracts = tuple(it for it in policy.instruments if self._identity.is_home_of(adl_subject(it)))

    def tell(self, exposures: Mapping[str, FundExposure], shards: tuple[int, ...], now_ns: int) -> Commit:
        """Say which contracts came to another level, of those that are this shard's to tell."""
        states, events = adl_changes(self._states, exposures, self._contracts, shards, now_ns, self._policy)
        if states == self._states:
            return Commit()
        self._states = states
        return Commit(outbox=tuple(map(self._identity.said, events)), adl=msgspec.json.encode(states))

    def levels(self, exposures: Mapping[str, FundExposure]) -> dict[str, AdlLevel]:
        """By contract that is this shard's to tell, and that a fund pays for: its level."""
        return {it: self._states.get(it, AdlState()).level for it in self._contracts if it in exposures}

    def adopt(self, newest: Mapping[str, AdlEvent]) -> list[Commit]:
        """Take over the states of events that were published, by contract, where those are not in the store."""
        newer = {
            symbol: event.state
            for symbol, event in newest.items()
            if event.sequence > self._states.get(symbol, AdlState()).sequence
        }
        self._states |= newer
        return [Commit(adl=msgspec.json.encode(self._states))] if newer else []
