"""`unimargin policy list | show | init`: the policies that ship, and one of them as a file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from streams.config.invocation import JsonOption, tell_mistakes
from streams.config.settings import SettingsError, load_policy
from streams.config.shipped_policies import shipped_policies, shipped_policy
from streams.config.terminal import console, json_out, printable, table

NameArgument = Annotated[
    str, typer.Argument(help="Of a policy that ships: see `policy list`.", show_default=False)
]


@tell_mistakes
def list_command(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the policies that ship, with what each is about.

    Examples:
      unimargin policy list
    """
    found = []
    for name, file in shipped_policies().items():
        policy = load_policy(file)
        found.append(
            {
                "name": name,
                "about": _about(file),
                "account_currency": policy.account_currency,
                "instruments": len(policy.instruments),
                "digest": policy.digest,
            }
        )
    if as_json:
        json_out(found)
        return
    rows = table("Policies", ["name", "about", "currency", "instruments"], ["instruments"])
    for it in found:
        rows.add_row(*(str(it[key]) for key in ("name", "about", "account_currency", "instruments")))
    console().print(rows)


@tell_mistakes
def show_command(name: NameArgument) -> None:
    """Print a policy that ships, with its sources and remarks.

    Examples:
      unimargin policy show bybit-uta-cross
    """
    typer.echo(_text(name), nl=False)


@tell_mistakes
def init_command(
    name: NameArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write [default: NAME.toml here].", show_default=False),
    ] = None,
    force: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> None:
    """Write a policy that ships into a file of your own, to start from.

    Examples:
      unimargin policy init default --out mine.toml
    """
    text = _text(name)
    file = out or Path(f"{name}.toml")
    try:
        with file.open("w" if force else "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{printable(str(file))} is there already: --force writes over it, --out another file"
        ) from None
    except OSError as error:
        raise SettingsError(f"{printable(str(file))}: {error.strerror}") from None
    typer.echo(
        f"{printable(str(file))} written. Check it after each change: unimargin policy check {printable(str(file))}"
    )
    typer.echo(f"Put it in force: UNIMARGIN_POLICY_FILE={printable(str(file.absolute()))}")


def _text(name: str) -> str:
    return shipped_policy(name).read_text(encoding="utf-8")


def _about(file: Path) -> str:
    """The first sentence of the comment that a policy begins with."""
    words = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or not line.strip("# "):
            break
        words.append(line.strip("# "))
    return " ".join(words).split(". ")[0].rstrip(".")
