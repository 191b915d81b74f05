"""`unimargin heatmap`: what a move of the whole market would liquidate, over all accounts of all shards."""

from typing import Annotated

import typer

from streams.commands.common import ConfigOption, JsonOption, run, tell_mistakes
from streams.commands.heatmap_report import read_heat_map, report
from streams.commands.heatmap_tables import renderables
from streams.commands.output import console, json_out
from streams.market_moves import moves_of
from streams.settings import SettingsError, load_policy, load_settings

DEFAULT_MOVES = "-50..50/5"


@tell_mistakes
def heatmap(
    moves: Annotated[
        str, typer.Option(metavar="-20,-10,10", help="Moves in percent: a list, or a range like -50..50/5.")
    ] = DEFAULT_MOVES,
    symbol: Annotated[
        list[str] | None,
        typer.Option(metavar="S", help="Only positions in this contract; may be given several times."),
    ] = None,
    last_prices: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option(
            "--last-prices", help="Count as if the last saved prices were fresh, however old they are."
        ),
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show the notional that each move of the whole market would be the first to liquidate, by symbol.

    Every underlying moves by the same factor and currencies are held; each pool falls once in each direction, whole, at
    the first move at which it stands below the liquidation line. At 0: what is being liquidated now.
    """
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    try:
        asked = moves_of(moves)
    except ValueError as error:
        raise SettingsError(f"--moves: {error}") from None
    for name in symbol or ():
        listed = policy.instruments.get(name)
        if listed is None or listed.kind == "spot":
            raise SettingsError(f"--symbol {name!r}: not a contract of this policy")
    read = run(read_heat_map(settings, policy, asked, last_prices=last_prices))
    said = report(read, policy, symbol or ())
    if as_json:
        json_out(said)
        return
    out = console()
    for part in renderables(said):
        out.print(part)
