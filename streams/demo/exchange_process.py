"""`unimargin simulate` as a child: where it is, as told by the JSON lines it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from streams.demo.demo_options import DemoError, DemoOptionError
from streams.embedded.supervisor import ChildProcess, unimargin
from streams.exchange.simulation_report import SimulationSummary

EXIT_MISTAKE = 2


class ExchangeProcess:
    """The exchange, its progress and its end."""

    def __init__(self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        """Prepare; nothing runs before `start`."""
        self.child = ChildProcess(
            "exchange", unimargin("simulate", *arguments), log=log, environment=environment
        )
        self.progress: SimulationSummary | None = None
        self._decoder = msgspec.json.Decoder(SimulationSummary)
        self._read_bytes = 0

    async def start(self) -> None:
        """Start it. Raises ChildError when it cannot be started."""
        await self.child.start()

    async def ended(self) -> bool:
        """Whether it has ended in order. Raises DemoOptionError or DemoError with its words when it has not."""
        running = self.child.running
        self._follow_log()
        if running:
            return False
        status = await self.child.wait()
        if status == 0:
            return True
        if status == EXIT_MISTAKE:
            raise DemoOptionError(self.child.last_words(1).removeprefix("error: "))
        raise DemoError(f"the exchange ended with status {status}; it said:\n{self.child.last_words()}")

    def _follow_log(self) -> None:
        """Take the newest progress from the lines written since the last call."""
        with self.child.log.open("rb") as log:
            log.seek(self._read_bytes)
            written = log.read()
        complete = written[: written.rfind(b"\n") + 1]
        self._read_bytes += len(complete)
        for line in complete.splitlines():
            if line.startswith(b"{"):
                try:
                    self.progress = self._decoder.decode(line)
                except msgspec.ValidationError:  # a log line
                    continue
