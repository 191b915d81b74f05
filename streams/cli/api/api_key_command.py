"""`unimargin api-key`: make a key for the HTTP API."""

from typing import Annotated

import typer

from engine.inputs import NAME_LENGTH_MAX
from streams.config.invocation import tell_mistakes
from streams.config.settings import SettingsError
from streams.desk.api_keys import ApiRole, new_key


@tell_mistakes
def api_key(
    name: Annotated[
        str, typer.Argument(help="Whose: on record where it is an operator's.", show_default=False)
    ],
    role: Annotated[ApiRole, typer.Option(help="What it allows.", show_default=False)],
) -> None:
    """Make a key of the HTTP API: say it once on standard error, and print the lines for UNIMARGIN_API_KEYS_FILE.

    The file holds the key's hash alone. An API reads its file when it starts.

    Examples:
      unimargin api-key "night desk" --role risk >> keys.toml
    """
    if not 0 < len(name.strip()) <= NAME_LENGTH_MAX:
        raise SettingsError(f"NAME: a name has 1 to {NAME_LENGTH_MAX} characters")
    key, lines = new_key(name, role)
    typer.echo(f"the key, said only this once: {key}", err=True)
    typer.echo(lines, nl=False)
