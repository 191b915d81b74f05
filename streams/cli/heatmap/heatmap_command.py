"""`unimargin heatmap`: what a move of the whole market would liquidate, over all accounts of all shards."""

from collections.abc import Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from engine.policy import Policy
from streams.answers.shelf import open_counted_shelf
from streams.config.invocation import (
    ConfigOption,
    JsonOption,
    LastPricesOption,
    moves_option,
    run,
    tell_mistakes,
)
from streams.config.near_names import nearest_listed
from streams.config.settings import Settings, SettingsError, load_settings
from streams.config.terminal import present
from streams.store.policy_store import policy_in_use

if TYPE_CHECKING:
    from streams.answers.heatmap_report import HeatReading

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
    last_prices: LastPricesOption = False,  # noqa: FBT002 - an option of the command line
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Show the notional that each move of the whole market would be the first to liquidate, by symbol.

    Every underlying moves by the same factor and currencies are held; each pool falls once in each direction, whole, at
    the first move at which it stands below the liquidation line. At 0: what is being liquidated now.

    Examples:
      unimargin heatmap
      unimargin heatmap --moves -20..20/5 --symbol BTC-USDT-PERP
    """
    # here, because its book needs the compiler's start, and a mistake or a question for help should not wait for that
    from streams.answers.heatmap_report import heat_report  # noqa: PLC0415
    from streams.cli.heatmap.heatmap_tables import renderables  # noqa: PLC0415

    settings = load_settings(config)
    asked = moves_option("--moves", moves)
    policy = run(policy_in_use(settings))
    for name in symbol or ():
        if name not in policy.contracts:
            near = nearest_listed(name, policy.contracts)
            raise SettingsError(f"--symbol {name!r}: not a contract of this policy; {near}")
    read = run(_read(settings, policy, asked, last_prices=last_prices))
    said = heat_report(read, policy, symbol or ())
    present(said, renderables, as_json=as_json)


async def _read(
    settings: Settings, policy: Policy, moves: Collection[Decimal], *, last_prices: bool
) -> "HeatReading":
    from streams.answers.heatmap_report import read_heat_map  # noqa: PLC0415 - as above

    async with open_counted_shelf(settings) as shelf:
        return await read_heat_map(shelf, policy, moves, last_prices=last_prices)
