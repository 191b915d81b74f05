"""`unimargin shadow`: another policy beside the one in force, on the live topics, and who would differ."""

from pathlib import Path
from typing import Annotated

import typer

from streams.config.invocation import ConfigOption, JsonLinesOption, run, tell_mistakes
from streams.config.settings import load_policy, load_settings


@tell_mistakes
def shadow(
    policy: Annotated[Path, typer.Option(help="The policy file to try.", show_default=False)],
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so many seconds [default: at Ctrl-C]")
    ] = None,
    as_json: JsonLinesOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Read the live topics under the policy in force and under another one, and print who would stand in another band.

    It begins with what the workers have stored and writes nothing, to Kafka or Redis. With --json each difference is a line, and the
    last one is a summary.

    Examples:
      unimargin shadow --policy new.toml --seconds 600
    """
    # here, because its books need the compiler's start, and a mistake or a question for help should not wait for that
    from streams.cli.shadow.shadow_run import Following, shadow_topics  # noqa: PLC0415
    from streams.cli.shadow.shadow_tables import JsonLines, Screen  # noqa: PLC0415

    settings = load_settings(config)
    other = load_policy(policy)
    in_force = load_policy(settings.policy_file)
    told = JsonLines() if as_json else Screen()
    following = Following(in_force, other, seconds, told)
    try:
        run(shadow_topics(settings, following))
    except KeyboardInterrupt:
        following.end()
