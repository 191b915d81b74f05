"""The command of an edition of tomorrow: it knows one format more, in which every state that it writes has a field more.

python -m tests.support.newer_edition worker
"""

import sys
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

from streams.store import store_format

COMMAND = (sys.executable, "-m", "tests.support.newer_edition")
FIELD = "note_of_tomorrow"
TODAY, TOMORROW = store_format.FORMAT, store_format.FORMAT + 1
_BEFORE = "    orders_apart: bool = False\n"


def main() -> None:
    """Change the edition before anything else of it is imported, and be a command of it."""
    store_format.FORMATS[TOMORROW] = "states have a note"
    store_format.FORMAT = TOMORROW
    _with_the_field("engine.ledger.accounts")
    _written()
    from streams.cli import unimargin  # noqa: PLC0415 - only now

    unimargin.main()


def _with_the_field(name: str) -> None:
    """Import the module of states from its source with one line more."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert source.count(_BEFORE) == 1
    module = sys.modules[name] = module_from_spec(spec)
    changed = source.replace(_BEFORE, f"    {FIELD}: str | None = None\n{_BEFORE}")
    exec(compile(changed, spec.origin, "exec"), module.__dict__)


def _written() -> None:
    """Every state that is committed in the new format has the field."""
    from streams.store import shard_store  # noqa: PLC0415 - only now

    sound = shard_store.ShardStore.commit

    async def commit(store: Any, what: Any) -> None:
        if store.format >= TOMORROW:
            for name, state in what.accounts.items():
                if FIELD.encode() not in state:
                    what.accounts[name] = state[:-1] + f',"{FIELD}":"written"}}'.encode()
        await sound(store, what)

    shard_store.ShardStore.commit = commit  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
