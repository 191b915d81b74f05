"""How a shadow is told: lines as they come for people, JSON lines for scripts."""

from rich.text import Text

from engine.marks.mark_book import NANOSECONDS
from streams.cli.shadow.shadow_run import Ended, Started
from streams.config.terminal import BAND_STYLES, amount, band_text, console, json_out, printable, table
from streams.contract.cloudevents import rfc3339
from streams.replay.shadow import Differing

_RATIO_PLACES = 4
_NAME_WIDTH = 24
_BAND_WIDTH = 12
_TIME = slice(11, 23)
_SHOWN_MAX = 20
"""Pools in the table at the end, and lines of one second of event time: a crowd is counted."""


class JsonLines:
    """One JSON document a line, each with what it is."""

    def started(self, it: Started) -> None:
        """See `Told`."""
        json_out({"started": it})

    def changed(self, it: Differing) -> None:
        """See `Told`."""
        json_out({"differs" if it.band is not it.shadow_band else "agrees": it})

    def ended(self, it: Ended) -> None:
        """See `Told`."""
        json_out({"ended": it})


class Screen:
    """Lines, and a table at the end."""

    def __init__(self) -> None:
        """Nothing is told yet."""
        self._out = console()
        self._second = self._told = 0
        """Second of event time of the newest line, and how many it has."""

    def started(self, it: Started) -> None:
        """See `Told`."""
        self._out.print(
            Text(
                f"{it.accounts:,} accounts of {it.shards} shards under {it.policy} {it.policy_digest} (in force) and "
                f"{it.shadow_policy} {it.shadow_digest} (shadow). Ctrl-C ends it; nothing is written.",
                style="dim",
            )
        )

    def changed(self, it: Differing) -> None:
        """See `Told`."""
        self._turn_to(it.time_ns // NANOSECONDS)
        self._told += 1
        if self._told > _SHOWN_MAX:
            return
        line = Text(f"{rfc3339(it.time_ns)[_TIME]}  {_pool(it):<{_NAME_WIDTH}}  ")
        line.append(f"{it.band.value:<{_BAND_WIDTH}}", style=BAND_STYLES[it.band])
        line.append(f"{amount(it.ratio, _RATIO_PLACES):>10}   shadow ")
        line.append(f"{it.shadow_band.value:<{_BAND_WIDTH}}", style=BAND_STYLES[it.shadow_band])
        line.append(f"{amount(it.shadow_ratio, _RATIO_PLACES):>10}")
        if it.band is it.shadow_band:
            line.append("   alike again", style="dim")
        self._out.print(line)

    def _turn_to(self, second: int) -> None:
        """Lines of another second begin: say how many of the last one were left out."""
        if second == self._second:
            return
        if self._told > _SHOWN_MAX:
            self._out.print(Text(f"{'':14}and {self._told - _SHOWN_MAX:,} more in that second", style="dim"))
        self._second, self._told = second, 0

    def ended(self, it: Ended) -> None:
        """See `Told`."""
        self._turn_to(0)
        if not it.judged:
            self._out.print(Text("nobody was judged: not all prices had come", style="yellow"))
        counts = ["both", "only in force", "only shadow"]
        rows = table(f"Pools since the start, {it.inputs:,} records read", ["", *counts], counts)
        tally = it.tally
        rows.add_row(
            "called or worse", *map(str, (tally.called_both, tally.called_only_now, tally.called_only_shadow))
        )
        liquidated = (tally.liquidated_both, tally.liquidated_only_now, tally.liquidated_only_shadow)
        rows.add_row("liquidated or bankrupt", *map(str, liquidated))
        self._out.print(rows)
        if it.differing:
            self._out.print(_differing(it))
        else:
            self._out.print(Text("nobody differs at the end", style="dim"))


def _differing(it: Ended) -> object:
    numbers = ["ratio", "shadow ratio"]
    rows = table(
        f"{len(it.differing):,} pools differ at the end", ["pool", "in force", "shadow", *numbers], numbers
    )
    for one in it.differing[:_SHOWN_MAX]:
        ratios = (amount(one.ratio, _RATIO_PLACES), amount(one.shadow_ratio, _RATIO_PLACES))
        rows.add_row(_pool(one), band_text(one.band), band_text(one.shadow_band), *ratios)
    if len(it.differing) > _SHOWN_MAX:
        rows.add_row(f"and {len(it.differing) - _SHOWN_MAX:,} more")
    return rows


def _pool(it: Differing) -> str:
    return printable(it.account if it.position is None else f"{it.account} {it.position}")
