"""`unimargin doctor`: checks that everything is in place that the promises rest on."""

import typer
from rich.text import Text

from streams.cli.doctor.check import Check, Status, failed, ok
from streams.cli.doctor.doctor_kafka import examine_kafka
from streams.cli.doctor.doctor_logs import examine_logs
from streams.cli.doctor.doctor_redis import examine_redis
from streams.cli.doctor.doctor_security import examine_security
from streams.config.invocation import EXIT_PROBLEM, ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out, table

STATUS_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


@tell_mistakes
def doctor(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Check settings, broker, topics, Redis, clocks, policy and shards; exit code 1 if anything fails.

    Examples:
      unimargin doctor
      unimargin doctor --config production.env
    """
    settings = load_settings(config)
    checks = [_policy(settings), examine_security(settings), *run(_examine(settings))]
    if as_json:
        json_out(checks)
    else:
        rows = table("Doctor", ["check", "", "found", "what to do"])
        for check in checks:
            status = Text(check.status.value, style=STATUS_STYLES[check.status])
            rows.add_row(check.check, status, check.found, check.action)
        console().print(rows)
    if any(check.status is Status.FAIL for check in checks):
        raise typer.Exit(EXIT_PROBLEM)


async def _examine(settings: Settings) -> list[Check]:
    in_kafka, logs = await examine_kafka(settings)
    in_redis = await examine_redis(settings, logs)
    return [*in_kafka, *(await examine_logs(settings) if logs else ()), *in_redis]


def _policy(settings: Settings) -> Check:
    try:
        policy = load_policy(settings.policy_file)
    except SettingsError as error:
        return failed("policy", str(error), "correct it; `unimargin policy check FILE`")
    return ok("policy", f"{policy.name}, digest {policy.digest}")
