"""The AsyncAPI document as committed, and validators of its messages."""

import copy
import json
from functools import cache

from jsonschema import Draft7Validator

from tests.deploy.files import DEPLOY

DOCUMENT = DEPLOY / "asyncapi" / "unimargin.json"


@cache
def document():
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


def examples():
    """(message id, example) of the whole document."""
    messages = document()["components"]["messages"]
    return [(name, example) for name, message in messages.items() for example in message["examples"]]


@cache
def payload_validator(name):
    """Of the payloads of a message. Stricter than what is published: a field that is not described is an error."""
    components = copy.deepcopy(document()["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return Draft7Validator({**components["messages"][name]["payload"], "components": components})


@cache
def headers_validator(name):
    """Of the headers of a message that has any."""
    components = document()["components"]
    return Draft7Validator({**components["messages"][name]["headers"], "components": components})
