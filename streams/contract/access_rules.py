"""Who may do what in Kafka, read from a table such as deploy/kafka/acls.toml.

One principal a role; a role is allowed what the table says and nothing else.
"""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from streams.config.settings import Settings, SettingsError, shipped_file
from streams.config.toml_file import read_toml
from streams.contract.topic_layout import by_name


class Resource(IntEnum):
    """What a rule is about, with Kafka's numbers."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5


class Pattern(IntEnum):
    """How a rule's name is meant, with Kafka's numbers."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What is allowed, with Kafka's numbers. READ and WRITE bring DESCRIBE."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


class AccessRule(NamedTuple):
    """One right, from any host."""

    principal: str
    """As Kafka writes it: "User:worker"."""
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation


CLUSTER_NAME = "kafka-cluster"
"""Kafka's name of the one resource of its kind."""


class _Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    principal: str
    read: list[str] = []
    write: list[str] = []
    describe: list[str] = []
    describe_configs: list[str] = []
    groups: list[str] = []
    describe_groups: list[str] = []
    transactions: list[str] = []
    describe_cluster: bool = False


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: dict[str, _Role]


def load_access_rules(file: Path | None, settings: Settings) -> dict[str, frozenset[AccessRule]]:
    """The rights of each role, with the names that the settings give topics and group. Raises `SettingsError` naming the file."""
    path = file or shipped_file("default_acls.toml", "kafka/acls.toml")
    parsed = read_toml(path, _File, "access file")
    principals = [it.principal for it in parsed.roles.values()]
    if len(set(principals)) < len(principals):
        raise SettingsError(f"access file {path}: two roles have one principal")
    if wrong := [it for it in principals if not it.startswith("User:")]:
        raise SettingsError(f"access file {path}: {wrong[0]!r} is not of the form User:name")
    return {name: frozenset(_rules(role, settings)) for name, role in parsed.roles.items()}


def _rules(role: _Role, settings: Settings) -> Iterable[AccessRule]:
    topics = (
        (Operation.READ, role.read),
        (Operation.WRITE, role.write),
        (Operation.DESCRIBE, role.describe),
        (Operation.DESCRIBE_CONFIGS, role.describe_configs),
    )
    for operation, roles in topics:
        for name in by_name(settings, dict.fromkeys(roles)):
            yield AccessRule(role.principal, Resource.TOPIC, name, Pattern.LITERAL, operation)
    groups = ((Operation.READ, role.groups), (Operation.DESCRIBE, role.describe_groups))
    for operation, ends in groups:
        for end in ends:
            name = settings.group + end
            yield AccessRule(role.principal, Resource.GROUP, name, Pattern.LITERAL, operation)
    for prefix in role.transactions:
        for operation in (Operation.WRITE, Operation.DESCRIBE):
            yield AccessRule(role.principal, Resource.TRANSACTIONAL_ID, prefix, Pattern.PREFIXED, operation)
    if role.describe_cluster:
        yield AccessRule(role.principal, Resource.CLUSTER, CLUSTER_NAME, Pattern.LITERAL, Operation.DESCRIBE)
