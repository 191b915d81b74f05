"""What venue files say, gathered in the policy's words, and the policy text that it makes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from engine.policy.reading.parse import parse
from engine.policy.reading.policy_checks import PolicyError
from engine.policy.reading.toml_text import key, quoted, rows_text, tables_text
from engine.policy.rules.asset_rules import Asset
from engine.policy.rules.instrument_rules import Instrument, RiskTier

ACCOUNT_CURRENCY = "USD"
_FAULTS_SHOWN = 3
_T = TypeVar("_T")


class Conversion(NamedTuple):
    """Policy text, and what of the files is not in it."""

    text: str
    left_out: tuple[str, ...]
    """A symbol and why, each."""


@dataclass(slots=True)
class Imported:
    """What files say, and what of them could not be said."""

    listed: dict[str, Instrument] = field(default_factory=dict)
    """Of files of instruments."""
    named: dict[str, Instrument] = field(default_factory=dict)
    """What the names in files of tiers say of their instruments."""
    tiers: dict[str, tuple[RiskTier, ...]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def each(self, rows: Iterable[tuple[str, _T]], read: Callable[["Imported", str, _T], None]) -> None:
        """Read every row; one that cannot be read is left out under its name."""
        for name, row in rows:
            try:
                read(self, name, row)
            except PolicyError as fault:
                self.left_out.append(told(name, fault))

    def list(self, name: str, instrument: Instrument) -> None:
        """An instrument of a file of instruments. Raises `PolicyError` for a name that is there already."""
        if name in self.listed:
            raise PolicyError(f"{name} is listed already")
        self.listed[name] = instrument


def told(name: str, fault: Exception) -> str:
    """A row that is left out, and why: on one line, whatever its name is."""
    return f"{key(name)}: {str(fault).removeprefix(f'{name}: ')}".replace("\n", " ")


def conversion(name: str, imported: Imported) -> Conversion:
    """The text: a whole policy where there are tiers, else the instruments of one. Raises `PolicyError` for none."""
    instruments = imported.listed or imported.named
    if imported.tiers and imported.listed:
        missing = sorted(instruments.keys() - imported.tiers.keys())
        imported.left_out += [f"{key(symbol)}: no brackets" for symbol in missing]
        instruments = {symbol: it for symbol, it in instruments.items() if symbol in imported.tiers}
    tiers = {symbol: rows for symbol, rows in imported.tiers.items() if symbol in instruments}
    if tiers:
        instruments = _sound(name, instruments, tiers, imported.left_out)
        tiers = {symbol: rows for symbol, rows in tiers.items() if symbol in instruments}
    if not instruments:
        shown = "; ".join(imported.left_out[:_FAULTS_SHOWN])
        more = len(imported.left_out) - _FAULTS_SHOWN
        raise PolicyError(
            f"no symbol and no instrument to import{': ' if shown else ''}{shown}{f', and {more} more' if more > 0 else ''}"
        )
    left_out = tuple(imported.left_out)
    text = _policy_text(name, instruments, tiers, left_out)
    if tiers:
        parse(text, lines=False)
    return Conversion(text, left_out)


def _sound(
    name: str,
    instruments: Mapping[str, Instrument],
    tiers: Mapping[str, tuple[RiskTier, ...]],
    left_out: list[str],
) -> dict[str, Instrument]:
    """The instruments that a policy accepts; why it does not accept the others is added to `left_out`."""
    sound = {}
    for symbol, it in instruments.items():
        try:
            parse(_policy_text(name, {symbol: it}, {symbol: tiers[symbol]}, ()), lines=False)
        except PolicyError as fault:
            left_out.append(told(symbol, fault))
        else:
            sound[symbol] = it
    return sound


def _policy_text(
    name: str,
    instruments: Mapping[str, Instrument],
    tiers: Mapping[str, tuple[RiskTier, ...]],
    left_out: tuple[str, ...],
) -> str:
    settles = sorted({it.settle for it in instruments.values()} - {ACCOUNT_CURRENCY})
    assets = {ACCOUNT_CURRENCY: Asset()} | {it: Asset(index=f"{it}-{ACCOUNT_CURRENCY}") for it in settles}
    notes = [
        "# Imported: instruments and risk tiers are the file's. Collateral ratios, margin rules, price checks and",
        "# ladder are this project's defaults: fill them in.",
    ]
    if not tiers:
        notes.append(
            "# No tier tables: write one under [tiers] for each name that an instrument's `tiers` says."
        )
    notes += [f"# Left out: {it}" for it in left_out]
    parts = [
        "\n".join([*notes, f"name = {quoted(name)}", f'account_currency = "{ACCOUNT_CURRENCY}"']) + "\n",
        tables_text("assets", assets),
        rows_text("tiers", tiers) if tiers else "",
        tables_text("instruments", instruments),
    ]
    return "\n".join(filter(None, parts))
