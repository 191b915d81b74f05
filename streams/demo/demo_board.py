"""The live board beside the demo's terminal: an API process of its own, and a key that lasts as long as the demo."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from streams.desk.api_keys import ApiRole, board_address, new_key
from streams.embedded.ports import LOOPBACK, free_port
from streams.embedded.supervisor import ChildProcess, unimargin

BOARD_EXTRA_MISSING = "no board: `pip install unimargin[desk]` brings what it takes"
REQUESTS_PER_MINUTE = 100_000
"""Everybody who looks has the one key."""


def board_installed() -> bool:
    """Whether the extra `desk` is."""
    try:
        return all(find_spec(name) is not None for name in ("litestar", "uvicorn"))
    except ModuleNotFoundError:
        return False


class DemoBoard:
    """The process, not started yet, and its address."""

    def __init__(self, run_dir: Path, environment: Mapping[str, str]) -> None:
        """`environment`: where the servers are; the file of the key and the log lie in `run_dir`."""
        key, entry = new_key("demo", ApiRole.RISK)
        keys = run_dir / "board-keys.toml"
        keys.write_text(f"{entry}requests_per_minute = {REQUESTS_PER_MINUTE}\n", encoding="utf-8")
        port = free_port()
        self.address = board_address(LOOPBACK, port, key)
        self.child = ChildProcess(
            "board",
            unimargin("api"),
            log=run_dir / "board.log",
            environment={
                **environment,
                "UNIMARGIN_API_HOST": LOOPBACK,
                "UNIMARGIN_API_PORT": str(port),
                "UNIMARGIN_API_KEYS_FILE": str(keys),
                "UNIMARGIN_SHUTDOWN_SECONDS": "2",
            },
        )
