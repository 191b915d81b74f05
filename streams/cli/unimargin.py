"""The command line: `unimargin COMMAND`."""

import os
from typing import Annotated

import typer

from streams.cli.lazy_commands import LazyGroup, Source
from streams.cli.standard_output import disk_may_be_full


class Commands(LazyGroup):
    """Every command. Each is imported when it is called: most need neither the compiler nor Faust nor a client."""

    sources = {  # noqa: RUF012 - click's groups are made by instance
        "worker": Source(
            "streams.cli.worker.worker_command:worker",
            "Run a worker: consume fills, ledger and prices, judge, publish. Several share the load.",
        ),
        "api": Source(
            "streams.cli.api.api_command:api",
            "Serve the HTTP API: accounts, what-if, stress, liquidations, events as they happen.",
        ),
        "board": Source(
            "streams.cli.api.board_command:board",
            "Serve the HTTP API with its live board, and print the address with a key that lasts as long as this process.",
        ),
        "mcp": Source(
            "streams.cli.mcp.mcp_command:mcp",
            "Serve read-only MCP tools on standard input and output: account show, riskiest accounts, what-if, explain.",
        ),
        "api-key": Source(
            "streams.cli.api.api_key_command:api_key",
            "Make a key of the HTTP API: say it once on standard error, and print the lines for UNIMARGIN_API_KEYS_FILE.",
        ),
        "notify": Source(
            "streams.cli.notify.notify_command:app",
            "Tell people of events: webhooks, PagerDuty, chat and mail, by the rules of a file.",
        ),
        "doctor": Source(
            "streams.cli.doctor.doctor_command:doctor",
            "Check settings, broker, topics, Redis, clocks, policy and shards; exit code 1 if anything fails.",
        ),
        "demo": Source(
            "streams.cli.demo.demo_command:demo",
            "Watch a market crash: 5,000 accounts, live margin calls, liquidations executed, nothing to set up.",
        ),
        "quickstart": Source(
            "streams.cli.quickstart.quickstart_command:quickstart",
            "See a first margin call in under a minute: one deposit, one fill, prices that fall; each message is printed as it is sent.",
        ),
        "feed": Source(
            "streams.cli.simulate.feed_command:feed",
            "Feed a demo market into Kafka: made-up accounts, then prices that crash (or a recording).",
        ),
        "send": Source(
            "streams.cli.send.send_command:send",
            "Send one message to the workers: checked as they check it, under the right key, into the right partition.",
        ),
        "simulate": Source(
            "streams.cli.simulate.simulate_command:simulate",
            "Run a simulated exchange: agents trade, prices answer, liquidations are executed, every cent is accounted for.",
        ),
        "whatif": Source(
            "streams.cli.whatif.whatif_command:whatif",
            "Show an account's figures as they are and as they would be: deposits, then orders, then shocks.",
            command_class="streams.cli.whatif.whatif_args:WordsCommand",
        ),
        "simulate-portfolio": Source(
            "streams.cli.portfolio.portfolio_command:simulate_portfolio",
            "Judge a portfolio from a file: every margin model, every scenario, deltas, and how far the market may move.",
        ),
        "operator": Source(
            "streams.cli.operator.operators_command:app",
            "What operators have said: who, when and why, and what became of it.",
        ),
        "explain": Source(
            "streams.cli.explain.explain_command:explain",
            "Rebuild an account from the log at the inputs that an event names, judge it again, and compare.",
        ),
        "scenario": Source("streams.cli.scenario.scenario_command:app", "Scenarios of stress."),
        "heatmap": Source(
            "streams.cli.heatmap.heatmap_command:heatmap",
            "Show the notional that each move of the whole market would be the first to liquidate, by symbol.",
        ),
        "stress": Source(
            "streams.cli.stress.stress_command:stress",
            "Show who of all accounts would be condemned, the loss beyond equity, and what of it the fund would bear.",
        ),
        "liquidations": Source(
            "streams.cli.liquidations.liquidations_command:liquidations",
            "List the pools in liquidation, the least covered first, each with the plan that would end it now.",
        ),
        "adl": Source(
            "streams.cli.liquidations.adl_command:adl",
            "Show how near auto-deleveraging of a contract is, and its queue, by default by profit times leverage.",
        ),
        "replay": Source(
            "streams.cli.replay.replay_command:replay",
            "Replay inputs in one process, deterministically: the same inputs give the same events, to the byte.",
        ),
        "shadow": Source(
            "streams.cli.shadow.shadow_command:shadow",
            "Read the live topics under the policy in force and under another one, and print who would stand in another band.",
        ),
        "topics": Source("streams.cli.topics.topics_command:app", "The topics of the pipeline."),
        "account": Source(
            "streams.cli.account.account_command:app", "Accounts: where they stand and what they may do."
        ),
        "events": Source("streams.cli.events.events_command:app", "The events of the engine."),
        "breaker": Source(
            "streams.cli.breaker.breaker_command:app",
            "Liquidations that are held because too much was condemned at once.",
        ),
        "quarantine": Source(
            "streams.cli.quarantine.quarantine_command:app",
            "Records that were set aside because they could not be applied.",
        ),
        "backup": Source(
            "streams.cli.backup.backup_command:app",
            "One file of all that Redis holds: create it while workers run, verify it, restore it.",
        ),
        "format": Source(
            "streams.cli.format.format_command:app",
            "The format of stored states: show it, raise it after an upgrade.",
        ),
        "policy": Source(
            "streams.cli.policy.policy_command:app", "Policy files: the rule book of an exchange."
        ),
        "symbols": Source(
            "streams.cli.symbols.symbols_command:app", "What is believed of each price symbol."
        ),
        "schemas": Source(
            "streams.cli.topics.schemas_command:app", "The contract of the topics: JSON Schemas, AsyncAPI."
        ),
        "bench": Source("streams.cli.bench.bench_command:app", "Measure on this machine."),
    }


app = typer.Typer(
    name="unimargin",
    cls=Commands,
    no_args_is_help=True,
    context_settings={"max_content_width": 110},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - the option's callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads mail headers, and only this option needs it

        typer.echo(f"unimargin {version('unimargin')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and leave."),
    ] = False,
) -> None:
    """Streaming risk pipeline for unified margin.

    With --json a command prints one JSON document, also where nothing is found: amounts are strings, a list may be empty. Commands that
    tell one thing after the other (events tail, explain, shadow) print one object a line.

    Examples:
      unimargin quickstart
      unimargin doctor
      unimargin account list --sort distance
      unimargin --install-completion
    """
    if any(name.upper().startswith("UNIMARGIN_") for name in os.environ):
        _refuse_unknown_variables()


def _refuse_unknown_variables() -> None:
    """In every command alike, whether it reads settings or not."""
    from streams.config.invocation import tell_mistakes  # noqa: PLC0415 - only where there is a variable to look at
    from streams.config.settings import refuse_unknown_variables  # noqa: PLC0415

    tell_mistakes(refuse_unknown_variables)(os.environ)


def main() -> None:
    """Entry point of the installed command."""
    with disk_may_be_full():
        app()
