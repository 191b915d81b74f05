"""`unimargin policy responsiveness`: how much a recorded day would have raised requirements under policies, side by side."""

import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import RenderableType
from rich.text import Text

from engine.analytics.responsiveness import Responsiveness, responsiveness
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import divide
from engine.policy import Policy
from streams.cli.simulate.feed_command import unix_ms
from streams.cli.simulate.recording_options import ColumnsOption, MapOption, SymbolOption, reading_of
from streams.config.invocation import EXIT_MISTAKE, JsonOption, fail, tell_mistakes
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import load_policy
from streams.config.terminal import amount, console, json_out, printable, table
from streams.exchange.feed_errors import FeedError

if TYPE_CHECKING:
    from streams.replay.sources import FileOptions

_DAY_NS = 86_400 * NANOSECONDS
_WINDOWS_NS = (_DAY_NS, 5 * _DAY_NS)
_HOUR_NS = Decimal(3_600 * NANOSECONDS)
_PLACES = 2


class PolicyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One policy over the day; amounts in its account currency."""

    policy: str
    policy_digest: str
    currency: str
    accounts: int
    measured: int
    """Accounts whose margin is measured; all are judged."""
    maintenance: Responsiveness
    initial: Responsiveness
    called: int
    """Pools that came into a margin call, or a worse band."""
    liquidated: int


@tell_mistakes
def responsiveness_command(
    files: Annotated[list[Path], typer.Argument(help="Policy files (TOML).", show_default=False)],
    data: Annotated[
        Path,
        typer.Option(help="Recording (csv of trades, marks or bars, plain or packed).", show_default=False),
    ],
    accounts: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Made-up accounts that open at its first prices.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same accounts.")] = 1,
    every: Annotated[float, typer.Option(min=1, help="Seconds of event time between two looks.")] = 300.0,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Play the recording from here: ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to here.")] = None,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Say how much a recorded day raises the requirement of positions that do not change, and whom that calls.

    Largest rise within one and within five days, and peak to trough, of maintenance and initial margin. Policies are played one after
    the other over the same accounts; nothing is executed.

    Examples:
      unimargin policy responsiveness mine.toml default.toml --data day.csv.gz
    """
    # here, because its book needs the compiler's start, and a mistake or a question for help should not wait for that
    from streams.replay.recorded_market import FRESH_SECONDS  # noqa: PLC0415
    from streams.replay.sources import FileOptions  # noqa: PLC0415

    policies = [load_policy(file) for file in files]
    try:
        options = FileOptions(
            accounts=accounts,
            seed=seed,
            fresh_seconds=FRESH_SECONDS,
            from_ms=unix_ms("--from", from_time),
            to_ms=unix_ms("--to", to_time),
            reading=reading_of(renamed, symbol, columns),
        )
        found = [
            _response(data, it, options, int(every * NANOSECONDS), tell=it is policies[0]) for it in policies
        ]
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    if as_json:
        json_out(found)
        return
    out = console()
    out.print(_table(found))
    for remark in _remarks(found):
        out.print(remark)


def _response(
    data: Path, policy: Policy, options: "FileOptions", every_ns: int, *, tell: bool
) -> PolicyResponse:
    from streams.replay.margin_course import margin_course  # noqa: PLC0415 - see above
    from streams.replay.sources import Files  # noqa: PLC0415

    files = Files(data, policy, options)
    with counting(f"policy {policy.name}", files.bytes) as done:
        course = margin_course(files, policy, every_ns, time.perf_counter_ns, done)
    for note in files.notes if tell else ():
        typer.echo(note, err=True)
    if not course.maintenance:
        raise Problem(f"{printable(str(data))}: nobody was judged under policy {policy.name!r}")
    return PolicyResponse(
        policy=policy.name,
        policy_digest=policy.digest,
        currency=policy.account_currency,
        accounts=course.accounts,
        measured=course.measured,
        maintenance=responsiveness(course.maintenance, _WINDOWS_NS),
        initial=responsiveness(course.initial, _WINDOWS_NS),
        called=course.called,
        liquidated=course.liquidated,
    )


def _percent(fraction: Decimal | None) -> str:
    return "-" if fraction is None else f"{amount(fraction * 100, _PLACES)} %"


def _table(found: list[PolicyResponse]) -> RenderableType:
    numbers = ["at first", "trough", "peak", "peak / trough", "rise in 1 day", "rise in 5 days"]
    counts = ["called", "liquidated"]
    rows = table(
        "Requirements over the recording", ["policy", "margin", *numbers, *counts], [*numbers, *counts]
    )
    for of in found:
        for name, it in (("initial", of.initial), ("maintenance", of.maintenance)):
            first = name == "initial"
            ratio = "-" if it.peak_to_trough is None else amount(it.peak_to_trough, _PLACES)
            rises = (f"{_percent(rise.rise)}{' *' if rise.shorter else ''}" for rise in it.rises)
            rows.add_row(
                f"{printable(of.policy)} ({of.currency})" if first else "",
                name,
                *(amount(value, _PLACES) for value in (it.first, it.trough, it.peak)),
                ratio,
                *rises,
                *((f"{of.called:,}", f"{of.liquidated:,}") if first else ("", "")),
            )
    return rows


def _remarks(found: list[PolicyResponse]) -> list[Text]:
    first = found[0]
    hours = amount(divide(Decimal(first.initial.length_ns), _HOUR_NS), 1)
    words = f"{first.accounts:,} accounts judged, the margin of {first.measured:,} measured"
    remarks = [Text(f"{words}, {first.initial.samples:,} looks over {hours} hours", style="dim")]
    if any(rise.shorter for rise in first.initial.rises):
        remarks.append(Text("* the recording is shorter: the largest rise of all of it", style="dim"))
    return remarks
