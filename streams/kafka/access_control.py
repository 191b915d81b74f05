"""Kafka's access control lists: what the broker holds for some principals, and making it what a table says.

aiokafka has the requests and no method for them.
"""

from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from streams.config.problem import Problem
from streams.contract.access_rules import AccessRule, Operation, Pattern, Resource

ANY = 1
"""Of a filter: whatever it is."""
ALLOW = 3
EVERYWHERE = "*"
NO_AUTHORIZER = 54
"""SECURITY_DISABLED."""

HeldRule = AccessRule | tuple[Any, ...]
"""What the broker holds; as it came where our table could not have put it there (denials, hosts, other operations)."""


async def held_rules(admin: AIOKafkaAdminClient, principals: Iterable[str]) -> set[HeldRule]:
    """Everything that the broker holds for these principals. Raises `Problem` where it has no authorizer, `KafkaError` where it refuses."""
    return {rule for principal in principals for rule in await _held_by(admin, principal)}


async def _held_by(admin: AIOKafkaAdminClient, principal: str) -> list[HeldRule]:
    answer = await _send(admin, DescribeAclsRequest(ANY, None, ANY, principal, None, ANY, ANY))
    _check(answer.error_code, answer.error_message)
    return [
        _read(resource, name, pattern, *entry)
        for resource, name, pattern, entries in answer.resources
        for entry in entries
    ]


async def add_rule(admin: AIOKafkaAdminClient, rule: AccessRule) -> None:
    """Allow it. Raises as `held_rules` does."""
    request = CreateAclsRequest(
        rule.resource, rule.name, rule.pattern, rule.principal, EVERYWHERE, rule.operation, ALLOW
    )
    for code, message in (await _send(admin, request)).creation_responses:
        _check(code, message)


async def remove_rule(admin: AIOKafkaAdminClient, rule: HeldRule) -> None:
    """Allow, or deny, it no more. Raises as `held_rules` does."""
    resource, name, pattern, principal, host, operation, permission = (
        (rule.resource, rule.name, rule.pattern, rule.principal, EVERYWHERE, rule.operation, ALLOW)
        if isinstance(rule, AccessRule)
        else rule
    )
    request = DeleteAclsRequest(resource, name, pattern, principal, host, operation, permission)
    for code, message, _ in (await _send(admin, request)).filter_responses:
        _check(code, message)


def _read(
    resource: int, name: str, pattern: int, principal: str, host: str, operation: int, permission: int
) -> HeldRule:
    try:
        if (host, permission) == (EVERYWHERE, ALLOW):
            return AccessRule(principal, Resource(resource), name, Pattern(pattern), Operation(operation))
    except ValueError:
        pass
    return (resource, name, pattern, principal, host, operation, permission)


async def _send(admin: AIOKafkaAdminClient, request: Any) -> Any:
    return await admin._send_to_controller(request)  # noqa: SLF001 - it sends any request


def _check(code: int, message: str | None) -> None:
    if code == NO_AUTHORIZER:
        raise Problem(
            "kafka_without_authorizer: the broker asks nobody what they may do: set authorizer.class.name (deploy/kafka/README.md)"
        )
    if code:
        raise for_code(code)(message)
