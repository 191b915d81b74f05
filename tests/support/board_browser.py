"""The board in a real Chromium, as a person sees it: what it shows, asks, and complains of."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from streams.desk.api_keys import ApiRole
from tests.support.api_process import KEYS
from tests.support.waiting import wait_for

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PICTURES = Path(__file__).parents[2] / "screenshots"
"""Kept for who wants to look; git ignores them."""
DESK, PHONE = (1280, 900), (390, 844)
SHOW_MS = 30_000.0
# when a row of the table was first drawn, in Unix milliseconds
WATCH = """() => {
  window.drawn = {};
  const look = () => {
    for (const row of document.querySelectorAll('.tabulator-row')) {
      const name = row.dataset.account;
      if (name && !(name in window.drawn)) window.drawn[name] = performance.timeOrigin + performance.now();
    }
    requestAnimationFrame(look);
  };
  look();
}"""


class BoardBrowser:
    """One browser with one page; a context manager."""

    def __init__(self, *, size: tuple[int, int] = DESK, light: bool = False) -> None:
        self._size, self._light = size, light
        self.asked: list[str] = []
        """Address of every request."""
        self.complaints: list[str] = []
        """Errors of scripts, what the console calls an error or a warning, and what the content policy forbids."""

    def __enter__(self) -> Self:
        binary = shutil.which("chromium")
        assert binary, (
            "no chromium on PATH: `make test` installs it by .ci/services (Debian package chromium)"
        )
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=binary, args=list(FLAGS))
        width, height = self._size
        self.context: BrowserContext = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="light" if self._light else "dark"
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SHOW_MS)
        self.page.on("request", lambda it: self.asked.append(it.url))
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda it: self.complaints.append(str(it)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.picture("failed")
        self._browser.close()
        self._playwright.stop()

    def open(self, address: str, role: ApiRole = ApiRole.VIEWER, query: str = "") -> Page:
        """Open the board with a key of this role, and wait until it is live."""
        self.page.goto(f"http://{address}/board/{query}#key={KEYS[role]}")
        self.until_live()
        return self.page

    def until_live(self) -> None:
        self.page.wait_for_selector('#state[data-state="live"]')

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def until(self, what: str, wanted: Callable[[], Any], seconds_max: float = 60) -> Any:
        """Wait in step with the page, whose events come only while it is asked something."""

        def attempt() -> Any:
            self.page.wait_for_timeout(20)
            return wanted()

        return wait_for(what, attempt, seconds_max)

    def meanwhile(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Do something that runs a loop of its own: the browser's driver runs one in this thread."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work, *arguments, **named).result()

    def drawn(self) -> dict[str, float]:
        """When each account's row was first drawn since `WATCH`, Unix ms."""
        found: dict[str, float] = self.page.evaluate("() => window.drawn")
        return found

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(self.page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth"))

    def picture(self, name: str) -> Path:
        """Keep how it looks now."""
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"board-{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")
