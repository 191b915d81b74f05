"""The AsyncAPI 3.0 document of the pipeline: servers, channels, operations, messages.

The point of view is unimargin's: it *receives* what the exchange sends, and *sends* what the exchange acts on.
"""

from typing import Any

from engine.edition import ENGINE_VERSION
from streams.asyncapi.example_day import example_day
from streams.asyncapi.json_schemas import Schema
from streams.asyncapi.message_catalogue import BINDING_VERSION, all_messages
from streams.config.settings import Settings
from streams.contract.topic_layout import TopicSpec, load_layout

ABOUT = """\
Streaming risk for unified (cross-collateral) margin: fills, ledger entries and prices in; margin calls and liquidation
requests out.

- Money is a decimal string, exact. Times are nanoseconds of event time since the Unix epoch, as integers: 64 bits, more than
  a JavaScript number holds.
- Inputs with a field that the schema does not have are refused. Events may gain fields: a consumer ignores those it does not know.
- Topics keyed by account have one number of partitions, and Kafka's default (murmur2) partitioner puts an account into the
  same partition of each.
- Events come at least once, in the order of an account; `ce_id` tells a repetition, `sequence` that nothing is missing."""

TOPICS = {
    "prices": (
        "receive",
        "Prices",
        "Mark prices of contracts and index prices of assets, one or many in a record; any key, each symbol in one partition.",
    ),
    "fills": ("receive", "Fills", "What the matching engine did to an account's positions and orders."),
    "ledger": ("receive", "Ledger entries", "What else moved an account: money, transfers, settings."),
    "margin-events": ("send", "Margin events", "Episodes of a pool, from opened to resolved; and, under keys of their own, the breaker of each shard, outages of prices and the deleveraging risk of each contract."),
    "liquidations": (
        "send",
        "Liquidations",
        "Intents: the exchange executes the newest plan of a pool, and its fills name the `liquidation_id`.",
    ),
    "policies": (
        "receive",
        "Policies",
        "Every version of the policy, whole, with the event time from which it is in force: key = version, compacted. `unimargin policy publish` writes it.",
    ),
    "account-state": (
        "send",
        "Second copies of accounts",
        "The newest state of every account, compacted, for a shard that Redis has lost; nobody but workers may write to it. Only where UNIMARGIN_ACCOUNT_STATE_MINUTES is not 0.",
    ),
    "operator": (
        "receive",
        "Operators' commands",
        "Who lets go on what the engine holds or has stopped, and why; and what each shard has made of it. No amount is in any of it. Not where UNIMARGIN_OPERATOR_TOPIC_ENABLED is off.",
    ),
    "fund": (
        "receive",
        "Insurance fund",
        "What the insurance fund of each group of contracts has: key = group, compacted. Only where UNIMARGIN_FUND_TOPIC_ENABLED is on.",
    ),
    "quarantine": ("send", "Quarantine", "Records that could not be applied, with the place they came from and the reason."),
}  # fmt: skip
"""By role: what unimargin does there, title, description."""

SCHEMES = {
    "PLAIN": {"type": "plain", "description": "SASL/PLAIN."},
    "SCRAM-SHA-256": {"type": "scramSha256", "description": "SASL/SCRAM-SHA-256."},
    "SCRAM-SHA-512": {"type": "scramSha512", "description": "SASL/SCRAM-SHA-512."},
    "OAUTHBEARER": {"type": "http", "scheme": "bearer", "description": "SASL/OAUTHBEARER."},
}
"""By mechanism: how AsyncAPI calls it."""


def asyncapi_document(settings: Settings) -> dict[str, Any]:
    """The document for the brokers and the topic names of `settings`."""
    messages = all_messages(example_day(settings))
    layout = load_layout(
        None,
        settings.model_copy(
            update={
                "operator_topic_enabled": True,
                "fund_topic_enabled": True,
                "account_state_minutes": settings.account_state_minutes or 10.0,
            }
        ),
    )
    addresses = {
        "prices": settings.topic_prices,
        "fills": settings.topic_fills,
        "ledger": settings.topic_ledger,
        "quarantine": settings.topic_quarantine,
        "policies": settings.topic_policies,
        "account-state": settings.topic_account_state,
        "operator": settings.topic_operator,
        "fund": settings.topic_fund,
    }
    channels = {
        role: _channel(role, addresses.get(role, role), layout, messages.of_role[role]) for role in TOPICS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "unimargin",
            "version": ENGINE_VERSION,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(settings),
        "channels": channels,
        "operations": {
            f"{action}-{role}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{role}"},
                "summary": about,
            }
            for role, (action, _, about) in TOPICS.items()
        },
        "components": {
            "messages": messages.by_id,
            "schemas": messages.schemas,
            "securitySchemes": {"sasl": SCHEMES[settings.kafka_sasl_mechanism]},
        },
    }


def _servers(settings: Settings) -> Schema:
    """One server a bootstrap address."""
    security = settings.kafka_security_protocol
    server: Schema = {"protocol": "kafka-secure" if "SSL" in security else "kafka", "description": security}
    if "SASL" in security:
        server["security"] = [{"$ref": "#/components/securitySchemes/sasl"}]
    hosts = settings.kafka_bootstrap_servers.split(",")
    return {f"kafka-{number}": {"host": host.strip(), **server} for number, host in enumerate(hosts, 1)}


def _channel(role: str, address: str, layout: dict[str, TopicSpec], messages: list[str]) -> Schema:
    _, title, about = TOPICS[role]
    spec = layout[address]
    return {
        "address": address,
        "title": title,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": spec.partitions,
                "topicConfiguration": _topic_configuration(spec),
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _topic_configuration(spec: TopicSpec) -> Schema:
    """The broker's settings of a topic as the binding wants them: numbers as numbers, policies as a list."""
    configuration: Schema = {}
    for name, value in spec.config.items():
        if name == "cleanup.policy":
            configuration[name] = value.split(",")
        else:
            configuration[name] = int(value) if value.lstrip("-").isdigit() else value
    return configuration
