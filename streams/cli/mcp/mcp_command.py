"""`unimargin mcp`: serve the desk's questions as read-only MCP tools."""

import asyncio

import structlog

from streams.cli.explain.explain_command import explained_events
from streams.cli.explain.explain_read import stream_of
from streams.cli.explain.explain_report import Explanation
from streams.config.invocation import ConfigOption, run, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import Problem, desk_extra
from streams.config.settings import Settings, load_settings
from streams.store.policy_store import policy_in_use

_log = structlog.get_logger()


@tell_mistakes
def mcp(config: ConfigOption = None) -> None:
    """Serve read-only MCP tools on standard input and output: account show, riskiest accounts, what-if, explain.

    A client starts it as its child: command `unimargin`, arguments `mcp`, and the UNIMARGIN_* settings as environment. It reads Redis and
    the event topics as the other commands do, and can write nothing.

    Examples:
      UNIMARGIN_REDIS_URL=redis://127.0.0.1:6379/0 unimargin mcp
    """
    settings = load_settings(config)
    with desk_extra("MCP"):
        from streams.desk.mcp_server import serve_mcp  # noqa: PLC0415 - an extra, and takes a second
        from streams.desk.mcp_tools import McpTools  # noqa: PLC0415
    configure_logs(settings.log_level, settings.log_levels)

    async def serve() -> None:
        looking = asyncio.ensure_future(_say_what_is_away(settings))
        await serve_mcp(McpTools(settings, _explain))
        if await looking:
            await policy_in_use(settings)

    run(serve())


async def _say_what_is_away(settings: Settings) -> bool:
    """Whether Redis cannot be read now. A client starts this before, or after, what it asks about: it is served all the same."""
    try:
        await policy_in_use(settings)
    except Problem as problem:
        _log.warning("mcp_cannot_answer", problem=str(problem))
        return True
    return False


async def _explain(settings: Settings, event_id: str) -> list[Explanation]:
    stream_of(event_id)
    return await explained_events(settings, event_id, None)
