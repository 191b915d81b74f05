"""A record of the topic of policies: one version, whole, with the event time from which it is in force, who says so and why.

The topic is compacted by the version's number, so it keeps every version for ever. The first record says what was in force before anything
was published.
"""

from typing import TypeVar

import msgspec

from engine.inputs import Count, Name, TimeNs
from engine.policy import Asset, Instrument, Policy
from engine.policy.reading.policy_checks import PolicyError, check
from engine.policy.timeline import Ruling
from engine.rejections import Rejection, RejectionCode
from engine.strict_decoding import UNREADABLE
from streams.contract.codec import decode_bounded

POLICY_BYTES_MAX = 900_000
"""Of a version as it is sent: a broker takes a megabyte by default. Five thousand contracts have room in it."""


class PolicyVersion(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="policy_version"
):
    """One version of the policy, whole, and the event time from which everybody goes by it."""

    version: Count
    """Counts from 0, without gaps but for publications that failed."""
    activated_ns: TimeNs
    """Event time from which it is in force."""
    digest: Name
    """Of the policy, as events name it."""
    name: str
    published_ns: TimeNs
    """Wall clock."""
    who: str
    why: str
    policy: msgspec.Raw
    """The rules, as a policy file says them, every default written out."""

    @property
    def key(self) -> bytes:
        """Of the record: the version."""
        return str(self.version).encode()


class _Listed(msgspec.Struct):
    """Of a policy what booking needs; each entry is read by itself, for another edition may have had other fields."""

    instruments: dict[str, msgspec.Raw] = {}
    assets: dict[str, msgspec.Raw] = {}


_T = TypeVar("_T")
_decoder = msgspec.json.Decoder(PolicyVersion)
_listed_decoder = msgspec.json.Decoder(_Listed)


def decode_policy_version(key: bytes | None, value: bytes | None) -> PolicyVersion | Rejection:
    """One record; its key must be the version, for the topic is compacted by it."""
    found = decode_bounded(_decoded, value, POLICY_BYTES_MAX)
    if isinstance(found, Rejection):
        return found
    if key != found.key:
        return Rejection(RejectionCode.KEY_MISMATCH, f"the key is not the version {found.version}")
    return found


def _decoded(value: bytes) -> PolicyVersion:
    # the rules are not looked into yet, and what is no text is none of any edition
    value.decode()
    return _decoder.decode(value)


def policy_bytes(policy: Policy) -> bytes:
    """A policy as versions carry it, and as its digest is taken of."""
    return msgspec.json.encode(policy, order="deterministic")


def read_policy(data: bytes) -> Policy:
    """The policy that was written so. Raises `PolicyError` where it is none of this edition."""
    try:
        policy = msgspec.json.decode(data, type=Policy)
    except UNREADABLE as error:
        raise PolicyError(f"cannot be read by this edition: {error}") from None
    check(policy)
    return policy


def ruling_of(version: PolicyVersion, like: Policy) -> Ruling:
    """The version as it rules. What this edition cannot judge by still lists what was listed; for all else it is `like` that one."""
    data, said = bytes(version.policy), f"version {version.version} of the policy (digest {version.digest})"
    try:
        policy = read_policy(data)
    except PolicyError as error:
        return Ruling(version.version, version.activated_ns, with_listed(like, data), f"{said} {error}")
    differs = policy.digest != version.digest
    fault = f"{said} has digest {policy.digest} in this edition: publish it anew" if differs else ""
    return Ruling(version.version, version.activated_ns, policy, fault)


def with_listed(policy: Policy, data: bytes) -> Policy:
    """`policy`, and besides what it lists what another one lists that was written so, as far as this edition can read it."""
    instruments, assets = dict(policy.instruments), dict(policy.assets)
    try:
        listed = _listed_decoder.decode(data)
    except UNREADABLE:
        return policy
    for symbol, raw in listed.instruments.items():
        if symbol not in instruments and (instrument := _read(raw, Instrument)) is not None:
            instruments[symbol] = instrument
    for name, raw in listed.assets.items():
        if name not in assets and (asset := _read(raw, Asset)) is not None:
            assets[name] = asset
    return msgspec.structs.replace(policy, instruments=instruments, assets=assets)


def _read(raw: msgspec.Raw, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE:
        return None
