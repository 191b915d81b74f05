"""The ladder's table as engine/ladder/README.md shows it."""

from engine.ladder import SEVERITY
from engine.ladder.table import TRANSITIONS, Trigger

_EVERYWHERE = {Trigger.DEGRADED, Trigger.RECOVERED, Trigger.EXPLAINED}
"""Not drawn: they can come in every band, but that nobody healthy is explained."""


def diagram() -> str:
    """The table as a Mermaid state diagram: one arrow for each band that figures can lead to, and what it says."""
    lines = ["stateDiagram-v2", "    [*] --> healthy"]
    for (before, trigger, after), said in TRANSITIONS.items():
        if trigger in _EVERYWHERE:
            continue
        if abs(SEVERITY[before] - SEVERITY[after]) <= 1:
            lines.append(f"    {before} --> {after}: {trigger} / {', '.join(said) or 'nothing'}")
    return "\n".join(lines)


def matrix() -> str:
    """All transitions as a Markdown table."""
    rows = ["| from | trigger | to | says |", "|---|---|---|---|"]
    for (before, trigger, after), said in TRANSITIONS.items():
        rows.append(
            f"| {before} | {trigger} | {after} | {', '.join(f'`{it}`' for it in said) or 'nothing'} |"
        )
    return "\n".join(rows)
