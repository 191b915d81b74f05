"""How the figures of a pool come about: every line with its formula and inputs, and the sum under each figure."""

from rich.console import RenderableType
from rich.text import Text

from engine.margin.figures import Line
from streams.answers.account_report import PoolView
from streams.config.terminal import every_digit, table

_FIGURES = ("equity", "collateral_value", "initial_margin", "maintenance_margin", "liquidation_fee")


def explained(pool: PoolView, currency: str, policy_digest: str) -> RenderableType:
    """The lines of a pool's figures, every digit shown."""
    name = f"the {pool.model} pool" if pool.position is None else f"isolated {pool.position}"
    rows = table(
        f"How the figures of {name} come about, in {currency} (policy {policy_digest})",
        ["item", "value", "formula and inputs"],
        ["value"],
    )
    # a number folded over two lines cannot be read
    rows.columns[1].no_wrap = True
    lines = pool.lines or ()
    for figure in _FIGURES:
        held = [line for line in lines if line.figure == figure]
        if figure == "liquidation_fee" and not held:
            continue
        rows.add_row(Text(figure.replace("_", " "), style="bold"))
        for line in held:
            rows.add_row(line.item, every_digit(line.value), _reason(line))
        total = every_digit(getattr(pool, figure))
        rows.add_row("sum", total, f"= {figure.replace('_', ' ')}", style="bold", end_section=True)
    return rows


def _reason(line: Line) -> Text:
    text = Text(line.formula)
    inputs = ", ".join(
        f"{name.replace('_', ' ')} {every_digit(value)}" for name, value in line.inputs.items()
    )
    if inputs:
        text.append(f"\n{inputs}", style="dim")
    return text
