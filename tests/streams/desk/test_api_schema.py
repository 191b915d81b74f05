"""Requests made up from the API's own schema: none ends in an error of the server, every answer is what the schema says."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from streams.desk.api_keys import ApiRole
from tests.support.api_process import KEYS, ApiProcess

pytestmark = pytest.mark.system

EXAMPLES = 8
ANSWER_S = 120.0
"""Some questions go through every account, and the machine may be busy."""
ENDLESS = "/stream"


def test_operations_when_asked_what_the_schema_allows_then_answered_as_it_says(filled: ApiProcess) -> None:
    schema = schemathesis.openapi.from_url(f"http://{filled.address()}/schema")
    operations = [it.ok() for it in schema.get_all_operations()]
    asked = {it.path: 0 for it in operations if it.path != ENDLESS}
    assert len(asked) > 15
    for operation in operations:
        if operation.path != ENDLESS:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: Case) -> None:
                # an account, a cursor or a move of the right form may still be none that there is: that is told with 400 or 404
                case.call_and_validate(
                    headers={"Authorization": f"Bearer {KEYS[ApiRole.OPERATOR]}"},
                    timeout=ANSWER_S,
                    excluded_checks=[positive_data_acceptance],
                )
                asked[case.operation.path] += 1

            ask()
    assert min(asked.values()) > 0
