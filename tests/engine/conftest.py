"""Fixtures of the engine's tests: the hand-computable sample policy and the shipped default."""

from pathlib import Path

import pytest

from engine.policy import Policy, parse
from tests.support.builders import sample

DEFAULT_POLICY = Path(__file__).parents[2] / "deploy" / "policies" / "default.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accounts", type=int, default=None, help="accounts that the second implementation checks"
    )


@pytest.fixture(scope="session")
def policy() -> Policy:
    return sample()


@pytest.fixture(scope="session")
def default_text() -> str:
    return DEFAULT_POLICY.read_text()


@pytest.fixture(scope="session")
def default_policy(default_text: str) -> Policy:
    return parse(default_text)
