"""TOML text to a checked policy."""

import tomllib
from decimal import Decimal

import msgspec

from engine.policy.reading.policy_checks import PolicyError, check
from engine.policy.reading.shape_faults import rule_fault, shape_fault
from engine.policy.rules.document import Policy

__all__ = ["PolicyError", "parse"]


def parse(text: str, *, lines: bool = True) -> Policy:
    """Read and check a policy. Raises `PolicyError` naming the line (but for a text that nobody sees), the key and the rule it breaks."""
    try:
        policy = msgspec.convert(tomllib.loads(text, parse_float=Decimal), Policy)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not valid TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise PolicyError(shape_fault(str(error), text, Policy)) from None
    try:
        check(policy)
    except PolicyError as error:
        raise PolicyError(rule_fault(str(error), text) if lines else str(error)) from None
    return policy
