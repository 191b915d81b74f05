"""The desk's questions for a language model: an MCP server on standard input and output, which only reads."""

from typing import Any

import msgspec
from litestar.exceptions import HTTPException
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from engine.analytics.hypothetical import HypotheticalError
from engine.edition import ENGINE_VERSION
from streams.config.problem import Problem
from streams.config.settings import SettingsError
from streams.desk.mcp_tools import McpTools, ToolSource

INSTRUCTIONS = (
    "Margin risk of an exchange's accounts, as its workers have judged them. All tools only read. Amounts are strings with every digit, in "
    "account currency unless said otherwise; a ratio is collateral value over maintenance margin, and liquidation begins at the policy's line."
)
_SAID = (Problem, SettingsError, HTTPException, HypotheticalError, msgspec.ValidationError)
"""What a question can be refused with: told to the caller, who may ask better."""


async def serve_mcp(tools: McpTools) -> None:
    """Serve one client until it closes standard input."""
    server = mcp_server(tools)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def mcp_server(tools: McpTools) -> Server[Any]:
    """The server; every tool of `tools` under its name."""

    async def list_tools(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(name, tool) for name, tool in tools.tools.items()])

    async def call_tool(_: Any, asked: CallToolRequestParams) -> CallToolResult:
        try:
            found = await tools.call(asked.name, asked.arguments or {})
        except _SAID as error:
            words = error.detail if isinstance(error, HTTPException) else str(error)
            return CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)
        told = msgspec.json.encode(found, order="deterministic")
        return CallToolResult(
            content=[TextContent(type="text", text=told.decode())],
            structured_content=msgspec.json.decode(told),
        )

    return Server(
        "unimargin",
        version=ENGINE_VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _described(name: str, tool: ToolSource) -> Tool:
    (shape,), definitions = msgspec.json.schema_components([tool.question], ref_template="#/$defs/{name}")
    own = definitions.pop(tool.question.__name__, shape)
    return Tool(
        name=name,
        description=tool.description,
        input_schema={**own, "$defs": definitions} if definitions else own,
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )
