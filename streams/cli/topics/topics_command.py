"""`unimargin topics`: create the topics of the pipeline, list them."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.cli.topics.topics_acls import app as acls
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import Settings, load_settings
from streams.config.terminal import console, json_out, table
from streams.contract.topic_layout import (
    PARTITIONS_MAX,
    TopicSpec,
    account_keyed,
    count_fault,
    load_layout,
    pipeline_topics,
)
from streams.kafka.topic_access import log_bounds, open_admin, open_reader, topic_configs, topic_partitions

app = typer.Typer(no_args_is_help=True, help="The topics of the pipeline.")

app.add_typer(acls, name="acls")

BROKER_DEFAULT = -1
"""As replication factor: the broker's own `default.replication.factor`."""
KNOWN_TIMEOUT_S = 10.0
KNOWN_POLL_S = 0.1
ALREADY_EXISTS = 36
"""Kafka's error code: somebody else created the topic meanwhile."""

FileOption = Annotated[
    Path | None, typer.Option("--file", help="Topics and their settings [default: those of the package]")
]
PartitionsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=PARTITIONS_MAX,
        help="Shards: partitions of fills, ledger, margin-events and liquidations [default: as in the file]",
    ),
]


class TopicRow(msgspec.Struct, frozen=True):
    """One topic in `topics list`; None: it does not exist, or the broker does not say."""

    topic: str
    partitions: int | None
    records: int | None
    """Offsets between the log's beginning and its end."""
    cleanup_policy: str | None
    retention_ms: str | None


@app.command()
@tell_mistakes
def create(
    file: FileOption = None,
    partitions: PartitionsOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Create the topics that are missing. Existing ones are left as they are.

    Examples:
      unimargin topics create
      unimargin topics create --partitions 32
    """
    settings = load_settings(config)
    layout = load_layout(file, settings, partitions)
    outcome = run(_create(settings, layout))
    if as_json:
        json_out(outcome)
        return
    rows = table("Topics", ["topic", "partitions", "outcome"], right=["partitions"])
    for name, (count, what) in outcome.items():
        rows.add_row(name, str(count), what)
    console().print(rows)


@app.command("list")
@tell_mistakes
def list_topics(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show the topics of the pipeline as the broker has them.

    Examples:
      unimargin topics list
    """
    settings = load_settings(config)
    found = run(_list(settings))
    if as_json:
        json_out(found)
        return
    rows = table(
        "Topics",
        ["topic", "partitions", "records", "cleanup", "retention.ms"],
        right=["partitions", "records", "retention.ms"],
    )
    for row in found:
        cells = [row.partitions, row.records, row.cleanup_policy, row.retention_ms]
        if row.partitions is None:
            cells = ["missing", "", "", ""]
        rows.add_row(row.topic, *("not told" if cell is None else str(cell) for cell in cells))
    console().print(rows)


async def _create(settings: Settings, layout: dict[str, TopicSpec]) -> dict[str, tuple[int, str]]:
    async with open_admin(settings) as admin:
        existing = await topic_partitions(admin)
        _refuse_unequal(settings, layout, existing)
        missing = {name: spec for name, spec in layout.items() if name not in existing}
        codes = await _create_missing(admin, missing) if missing else {}
        await _wait_until_known(admin, set(missing))
        counts = await topic_partitions(admin) if ALREADY_EXISTS in codes.values() else existing
    outcome = {}
    for name, spec in layout.items():
        if codes.get(name) == 0:
            outcome[name] = (spec.partitions, "created")
        else:
            count = counts.get(name, spec.partitions)
            same = count == spec.partitions
            outcome[name] = (count, "exists" if same else f"exists; {spec.partitions} were asked for")
    return outcome


def _refuse_unequal(settings: Settings, layout: dict[str, TopicSpec], existing: dict[str, int]) -> None:
    keyed = account_keyed(settings)
    fault = count_fault({name: existing[name] for name in keyed if name in existing})
    if fault is not None:
        raise Problem(f"{fault}. Nothing was created; delete the empty ones among them and create them again")
    fault = count_fault(
        {name: existing.get(name, spec.partitions) for name, spec in layout.items() if name in keyed}
    )
    if fault is not None:
        count = next(existing[name] for name in keyed if name in existing)
        raise Problem(
            f"{fault}. Nothing was created; use --partitions {count}, the count of the existing ones"
        )


async def _create_missing(admin: AIOKafkaAdminClient, missing: dict[str, TopicSpec]) -> dict[str, int]:
    answer = await admin.create_topics(
        [
            # An empty assignment beside it is what the client wants where the broker chooses the replicas.
            NewTopic(name, spec.partitions, BROKER_DEFAULT, replica_assignments={}, topic_configs=spec.config)
            for name, spec in missing.items()
        ]
    )
    refused = [
        f"{topic}: {message or f'error code {code}'}"
        for topic, code, message in answer.topic_errors
        if code not in {0, ALREADY_EXISTS}
    ]
    if refused:
        raise Problem(f"the broker refused {'; '.join(refused)}")
    return {topic: code for topic, code, _ in answer.topic_errors}


async def _wait_until_known(admin: AIOKafkaAdminClient, topics: set[str]) -> None:
    """A broker answers before it tells clients of a new topic: a worker started at once would not find it."""
    async with asyncio.timeout(KNOWN_TIMEOUT_S):
        while not topics <= set(await topic_partitions(admin)):  # noqa: ASYNC110 - the event is in the broker
            await asyncio.sleep(KNOWN_POLL_S)


async def _list(settings: Settings) -> list[TopicRow]:
    async with open_admin(settings) as admin, open_reader(settings) as consumer:
        counts = await topic_partitions(admin)
        present = [name for name in pipeline_topics(settings) if name in counts]
        configs = await topic_configs(admin, present) or {}
        rows = []
        for name in pipeline_topics(settings):
            config = configs.get(name, {})
            bounds = await log_bounds(consumer, name, counts[name]) if name in counts else []
            rows.append(
                TopicRow(
                    name,
                    counts.get(name),
                    sum(it.end - it.begin for it in bounds) if name in counts else None,
                    config.get("cleanup.policy"),
                    config.get("retention.ms"),
                )
            )
        return rows
