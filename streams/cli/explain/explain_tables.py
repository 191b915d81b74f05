"""How the explanation of an event looks on a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from engine.marks.fact_checks import FACTS
from streams.cli.account.account_lines import explained
from streams.cli.explain.explain_compare import Comparison
from streams.cli.explain.explain_report import Explanation
from streams.config.terminal import amount, printable, table
from streams.contract.cloudevents import rfc3339

FIGURES_SHOWN = 7
"""Comparisons that are shown even where they match: the figures, which come first after the inputs."""
CHARACTERS_MAX = 300
"""Of a field that is a table itself, as marks and plans are; JSON has the whole of it."""
_NS_PER_S = 1_000_000_000


def renderables(shown: Explanation) -> Iterator[RenderableType]:
    """The verdict, the story, and what it follows from."""
    yield _verdict(shown)
    for line in shown.story:
        yield Text(line)
    if shown.pool.degraded:
        yield Text(f"degraded: {'; '.join(shown.pool.degraded_reasons)}", style="yellow")
    for remark in shown.remarks:
        yield Text(remark, style="yellow")
    yield _origin(shown)
    yield _comparisons(shown)
    yield _marks(shown)
    yield explained(shown.pool, shown.currency, shown.policy_digest)


def _verdict(shown: Explanation) -> Text:
    text = Text("MATCHES" if shown.matches else "DOES NOT MATCH", style=f"bold {_colour(shown.matches)}")
    text.append(f"  {printable(shown.event_id)}", style="bold default")
    if shown.mismatches:
        text.append(f"\ndiffers in: {', '.join(shown.mismatches)}", style="red")
    return text


def _colour(good: bool) -> str:  # noqa: FBT001 - a verdict is yes or no
    return "green" if good else "red"


def _origin(shown: Explanation) -> Text:
    event = shown.event
    times = "" if shown.copies == 1 else f" (published {shown.copies} times)"
    return Text(
        f"record {shown.topic}/{shown.partition}/{shown.offset}{times}   episode {printable(event.episode_id or '-')}\n"
        f"inputs up to fills {event.inputs.fills}, ledger {event.inputs.ledger}   policy {shown.policy} "
        f"{shown.policy_digest}{'' if shown.policy_version is None else f' (version {shown.policy_version})'}   engine {event.engine_version}",
        style="dim",
    )


def _comparisons(shown: Explanation) -> RenderableType:
    rows = table(
        f"Published and recomputed, digit for digit (amounts in {shown.currency}; "
        f"{len(shown.comparisons)} fields compared)",
        ["field", "published", "recomputed", ""],
    )
    for i, pair in enumerate(shown.comparisons):
        if i <= FIGURES_SHOWN or not pair.matches:
            rows.add_row(*_row(pair))
    return rows


def _row(pair: Comparison) -> tuple[str, str, str, Text]:
    verdict = Text("=" if pair.matches else "differs", style=_colour(pair.matches))
    published, recomputed = (printable(text, CHARACTERS_MAX) for text in (pair.published, pair.recomputed))
    return pair.field, published, recomputed, verdict


def _marks(shown: Explanation) -> RenderableType:
    marks = shown.event.marks
    facts = [fact for fact in FACTS if any(getattr(mark, fact) is not None for mark in marks.values())]
    numbers = ["price", "sequence", "age", *(fact.replace("_", " ") for fact in facts)]
    rows = table("Marks that it was judged at", ["symbol", *numbers, "dated", ""], numbers)
    for symbol, mark in sorted(marks.items()):
        age_s = (shown.event.time_ns - mark.time_ns) / _NS_PER_S
        rows.add_row(
            printable(symbol),
            amount(mark.price, places=18),
            str(mark.sequence),
            f"{age_s:.3f} s",
            *(amount(getattr(mark, fact)) for fact in facts),
            rfc3339(mark.time_ns),
            Text("stale" if mark.stale else "", style="yellow"),
        )
    return rows
