"""The questions that the tools of `unimargin mcp` ask, and their answers: those of the command line and the API, digit for digit.

A tool reads Redis at each call, and the log where it explains an event. None writes: there is nothing here that could.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from engine.inputs import Name
from engine.ladder import Band
from streams.answers.account_list import ListQuestion, Sort, list_accounts
from streams.answers.account_read import read_account
from streams.answers.account_report import report
from streams.answers.shelf import open_shelf
from streams.answers.whatif_book import what_if_all
from streams.answers.whatif_report import what_if
from streams.config.near_names import did_you_mean, near_names, nearest_listed
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError
from streams.desk.questions import CHANGES_MAX, ChangeQuestion, ShockBody
from streams.store.policy_store import policy_in_use

ROWS_MAX = 200
"""Of a list: more than a conversation can hold."""

Rows = Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]


class _Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ShowAccount(_Question, frozen=True, kw_only=True):
    """One account: bands, calls, figures of each pool, positions with liquidation prices, distance of the market to each line."""

    account: Name
    explain: bool = False
    """Also the lines that sum to each figure."""


class RiskiestAccounts(_Question, frozen=True, kw_only=True):
    """Accounts, the riskiest first. All accounts are read at each call: up to half a minute for 100,000."""

    sort: Sort = Sort.RISK
    """What comes first: worst band then lowest ratio, lowest ratio, largest shortfall, lowest equity, or least market move to a call."""
    band: Band | None = None
    symbol: Name | None = None
    """Only who holds this contract."""
    stopped: bool = False
    """Only who is stopped."""
    limit: Rows = 20


class WhatIfAll(_Question, frozen=True, kw_only=True):
    """Which of all accounts come into another band when prices move. All are valued twice: half a minute for 100,000."""

    shocks: Annotated[tuple[ShockBody, ...], msgspec.Meta(min_length=1, max_length=CHANGES_MAX)]
    limit: Rows = 20


class ExplainEvent(_Question, frozen=True, kw_only=True):
    """Why an event was said: the account is rebuilt from the log, judged again, and compared with what was published."""

    event_id: Name
    """ACCOUNT/TOPIC/NUMBER, as in ce_id."""


class ToolSource(NamedTuple):
    """A tool: its question's shape, what is said of it, and who answers."""

    question: type[msgspec.Struct]
    description: str
    answer: Callable[[Any], Awaitable[object]]


ExplainWith = Callable[[Settings, str], Awaitable[list[Any]]]
"""What explains the event of an id: one explanation for each different record that bears it."""


class McpTools:
    """All tools, by name."""

    def __init__(self, settings: Settings, explain_with: ExplainWith) -> None:
        """`explain_with` comes from the command line, whose parts it needs."""
        self._settings, self._explain_with = settings, explain_with
        self.tools: Mapping[str, ToolSource] = {
            "show_account": _tool(ShowAccount, self._show),
            "riskiest_accounts": _tool(RiskiestAccounts, self._riskiest),
            "what_if": ToolSource(ChangeQuestion, WHAT_IF, self._what_if),
            "what_if_all": _tool(WhatIfAll, self._what_if_all),
            "explain_event": _tool(ExplainEvent, self._explain),
        }

    async def call(self, name: str, arguments: Mapping[str, Any]) -> object:
        """The answer, of msgspec's types. Raises `Problem`, `SettingsError`, `Refused`, `HypotheticalError` or `msgspec.ValidationError`."""
        tool = self.tools.get(name)
        if tool is None:
            near = did_you_mean(near_names(name, self.tools), f"there are {', '.join(self.tools)}")
            raise SettingsError(f"no tool {name!r}; {near}")
        return await tool.answer(msgspec.convert(arguments, tool.question))

    async def _show(self, question: ShowAccount) -> object:
        return report(*await read_account(self._settings, question.account), explain=question.explain)

    async def _riskiest(self, question: RiskiestAccounts) -> object:
        policy, symbol = await policy_in_use(self._settings), question.symbol
        if symbol is not None and symbol not in policy.instruments:
            near = nearest_listed(symbol, policy.instruments)
            raise SettingsError(f"symbol {symbol!r} is not listed in policy {policy.name!r}; {near}")
        asked = ListQuestion(question.sort, question.band, symbol, question.stopped, question.limit)
        return await list_accounts(self._settings, policy, asked, time.time_ns())

    async def _what_if(self, question: ChangeQuestion) -> object:
        policy = await policy_in_use(self._settings)
        asked = question.asked(policy)
        async with open_shelf(self._settings) as shelf:
            read = await question.subject(shelf, policy, time.time_ns())
        return what_if(read, asked)

    async def _what_if_all(self, question: WhatIfAll) -> object:
        policy = await policy_in_use(self._settings)
        asked = ChangeQuestion(shocks=question.shocks).asked(policy)
        async with open_shelf(self._settings) as shelf:
            return await what_if_all(shelf, policy, asked.shocks, question.limit, time.time_ns())

    async def _explain(self, question: ExplainEvent) -> object:
        found = await self._explain_with(self._settings, question.event_id)
        if not found:
            raise Problem(f"nothing bears the id {question.event_id!r}")
        return {"explanations": found}


WHAT_IF = (
    "An account, or a portfolio that nobody has, before and after deposits come in, orders fill whole, and then prices move. "
    'Amounts are strings; a move is a fraction: "-0.15" is a fall of 15 %. Nothing is sent to the exchange.'
)


def _tool(question: type[msgspec.Struct], answer: Callable[[Any], Awaitable[object]]) -> ToolSource:
    return ToolSource(question, " ".join((question.__doc__ or "").split()), answer)
