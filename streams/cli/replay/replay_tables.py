"""What `unimargin replay` shows to people."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from streams.config.terminal import amount, printable, table
from streams.contract.cloudevents import rfc3339
from streams.replay.replay_counts import Second
from streams.replay.run_difference import Affected, Difference, Outcome, Said

if TYPE_CHECKING:  # at run time it would bring the book of accounts, which a comparison does without
    from streams.replay.replay_summary import Summary

POOLS_SHOWN_MAX = 20
"""Of each list; --json has all."""
DIGITS_SHOWN = 16
"""Of a digest."""


def summary_parts(told: "Summary") -> Iterator[RenderableType]:
    """A finished run."""
    yield _run(told)
    if told.by_type:
        events = table("events", ["type", "count"], right=["count"])
        for kind, count in told.by_type.items():
            events.add_row(kind, f"{count:,}")
        yield events
    for title, counts in (
        ("marks refused", told.marks_refused),
        ("records put aside", told.quarantined),
        ("rows left out: the policy prices no such coin", told.rows_left_out),
    ):
        if counts:
            yield _counts(title, counts)
    for it in told.first_quarantined:
        yield Text(f"{printable(it.place)}: {it.reason}: {printable(it.detail, 200)}", style="yellow")
    for note in told.notes:
        yield Text(note, style="yellow")


def difference_parts(found: Difference, first: Path, second: Path) -> Iterator[RenderableType]:
    """Two runs side by side."""
    if found.same:
        yield Text(f"the same: {found.events[0]:,} events, equal to the byte", style="green")
        return
    yield Text(f"A: {printable(str(first))}\nB: {printable(str(second))}")
    yield _both_counts(found)
    for title, outcome in (
        ("called", found.called),
        ("liquidated", found.liquidated),
        ("bankrupt", found.bankrupt),
    ):
        for run, pools in (("A", outcome.only_a), ("B", outcome.only_b)):
            if pools:
                yield _pools(f"{title} in {run} alone", pools)
    yield Text(_first_words(found))


def _run(told: "Summary") -> RenderableType:
    rows = table("replay", ["", ""])
    rows.show_header = False
    for name, value in (
        ("policy", f"{told.policy} {told.policy_digest[:DIGITS_SHOWN]}"),
        ("event time", f"{rfc3339(told.from_ns)} to {rfc3339(told.to_ns)}"),
        ("took", f"{told.wall_seconds:,.2f} s, {told.marks_per_second:,.0f} marks/s ({told.book})"),
        ("accounts", f"{told.accounts:,}"),
        ("marks", f"{told.marks:,}"),
        ("inputs", f"{told.inputs_applied:,} applied, {told.inputs_duplicate:,} duplicates"),
        ("events", f"{told.events:,}"),
        ("second of most events", _second(told.most_events)),
        ("slowest second", _second(told.slowest)),
        *((f"digest of {part}", digest[:DIGITS_SHOWN]) for part, digest in told.digests.items()),
    ):
        rows.add_row(name, value)
    return rows


def _second(second: Second | None) -> str:
    if second is None:
        return "-"
    return f"{rfc3339(second.time_ns)}: {second.events:,} events, {second.marks:,} marks, {second.wall_ms:,.1f} ms"


def _counts(title: str, counts: Mapping[str, int]) -> RenderableType:
    rows = table(title, ["what", "count"], right=["count"])
    for name, count in counts.items():
        rows.add_row(printable(name), f"{count:,}")
    return rows


def _both_counts(found: Difference) -> RenderableType:
    rows = table(
        "events and pools",
        ["", "A", "B", "both", "A alone", "B alone"],
        right=["A", "B", "both", "A alone", "B alone"],
    )
    rows.add_row("events", *(f"{count:,}" for count in found.events))
    for kind, counts in found.by_type.items():
        rows.add_row(kind, *(f"{count:,}" for count in counts))
    for title, outcome in (
        ("pools called", found.called),
        ("pools liquidated", found.liquidated),
        ("pools bankrupt", found.bankrupt),
    ):
        rows.add_row(title, *_three(outcome))
    return rows


def _three(outcome: Outcome) -> Iterator[str]:
    a, b = len(outcome.only_a), len(outcome.only_b)
    for count in (outcome.both + a, outcome.both + b, outcome.both, a, b):
        yield f"{count:,}"


def _pools(title: str, pools: list[Affected]) -> RenderableType:
    rest = len(pools) - POOLS_SHOWN_MAX
    rows = table(
        f"{title}: {len(pools):,}" + (f", the first {POOLS_SHOWN_MAX}" if rest > 0 else ""),
        ["account", "pool", "at", "ratio", "event"],
        right=["ratio"],
    )
    for it in pools[:POOLS_SHOWN_MAX]:
        rows.add_row(
            printable(it.account),
            printable(it.position or "cross"),
            rfc3339(it.time_ns),
            amount(it.ratio),
            printable(it.event),
        )
    return rows


def _first_words(found: Difference) -> str:
    if found.policies[0] != found.policies[1]:
        policies = "the policies differ: " + " / ".join(", ".join(it) or "none" for it in found.policies)
    else:
        policies = "one policy"
    if found.first is None:
        return f"{policies}; but for the policy's digest, the events are the same"
    return (
        f"{policies}\nfirst difference in line {found.first.line:,}:\n"
        f"A: {_event(found.first.a)}\nB: {_event(found.first.b)}"
    )


def _event(said: Said | None) -> str:
    if said is None:
        return "has ended"
    return (
        f"{rfc3339(said.time_ns)} {printable(said.id)} {said.type}, {said.band}, ratio {amount(said.ratio)}"
    )
