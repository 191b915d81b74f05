"""`unimargin quickstart` harms nobody: it moves prices only where nobody else would feel them."""

import pytest

from tests.support.builders import account
from tests.support.cli import NOWHERE, unimargin
from tests.support.cli_state import leave_state
from tests.support.kafka_log import read_topic
from tests.support.kafka_server import RealKafka

pytestmark = pytest.mark.system


def test_quickstart_when_the_stack_holds_accounts_then_refused_and_nothing_sent(
    cli_kafka: RealKafka, own_inputs: dict[str, str], redis_env: dict[str, str]
) -> None:
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account(name="somebody")])
    said = unimargin("quickstart", "--no-embedded", env={**redis_env, **own_inputs})
    assert (said.code, said.out) == (1, "")
    assert "holds accounts, 'somebody' for one" in said.err
    for role in ("FILLS", "LEDGER"):
        assert read_topic(cli_kafka.bootstrap_servers, own_inputs[f"UNIMARGIN_TOPIC_{role}"]) == []


def test_quickstart_when_told_not_to_embed_and_nothing_answers_then_one_line_says_so(
    redis_env: dict[str, str],
) -> None:
    env = {**redis_env, "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}
    said = unimargin("quickstart", "--no-embedded", env=env)
    assert (said.code, said.out) == (1, "")
    assert NOWHERE in said.err
