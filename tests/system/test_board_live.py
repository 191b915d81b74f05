"""Worker, API and board together: what a worker says stands on the board at once, and the board outlives both."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.events.effects import RiskEvent
from engine.ladder import Band
from streams.contract.published_event import decode_event
from streams.embedded.ports import free_port
from tests.support.api_process import ApiProcess
from tests.support.board_browser import WATCH, BoardBrowser
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import LogRecord, read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

ACCOUNTS = 12
"""Called one after the other: each has a little less than the one before."""
PRICES = range(49_800, 47_000, -200)
SECONDS_MAX = 2.0
"""From the event to its row. On a quiet machine it is a tenth of that; a busy one must not fail."""


@pytest.fixture
def env(cluster: Cluster) -> dict[str, str]:
    return {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
        "UNIMARGIN_KAFKA_FETCH_WAIT_MS": "20",
    }


@pytest.fixture
def api(env: dict[str, str], tmp_path: Path) -> Iterator[ApiProcess]:
    """One API on a port that stays its own when it is restarted."""
    with ApiProcess({**env, "UNIMARGIN_API_PORT": str(free_port())}, tmp_path) as api:
        yield api.wait_ready()


class Market:
    """Quotes that are repeated as long as somebody waits."""

    def __init__(self, bootstrap: str) -> None:
        self.sender, self.quotes = Sender(bootstrap), dict(MARKS)

    def say(self) -> None:
        for symbol, price in self.quotes.items():
            self.sender.prices(mark(symbol, price), symbol)
        self.sender.flush()

    def bitcoin(self, price: int) -> None:
        self.quotes |= {"BTC-PERP": str(price), "BTC-USD": str(price)}

    def while_waiting(self, wanted: Callable[[], object]) -> Callable[[], object]:
        def attempt() -> object:
            self.say()
            return wanted()

        return attempt


def test_board_when_the_market_falls_then_each_called_account_appears_at_once_and_again_after_restarts(
    cluster: Cluster, api: ApiProcess, say: Callable[[str], None]
) -> None:
    market, worker = Market(cluster.bootstrap), cluster.worker()
    wait_for("the worker is ready", market.while_waiting(lambda: worker.ready() is None), 90)
    names = [f"desk-{number:02}" for number in range(ACCOUNTS)]
    for number, name in enumerate(names):
        market.sender.inputs(deposit(name, str(5_400 - 70 * number)), fill(name, "1"))
    wait_for("all are known", market.while_waiting(lambda: api.ask("/accounts").data["total"] == ACCOUNTS))
    address = api.address()
    assert address is not None
    with BoardBrowser() as browser:
        page = browser.open(address)
        page.locator('.tile[data-band="margin_call"]').click()
        browser.until(
            "the list is empty",
            market.while_waiting(lambda: "Nobody is like that" in browser.text("#accounts-empty")),
        )
        browser.until(
            "no row is left", market.while_waiting(lambda: page.locator(".tabulator-row").count() == 0)
        )
        page.evaluate(WATCH)
        prices = iter(PRICES)

        def called(some: list[str]) -> Callable[[], object]:
            def attempt() -> object:
                if (price := next(prices, None)) is not None:
                    market.bitcoin(price)
                return set(some) <= browser.drawn().keys()

            return market.while_waiting(attempt)

        browser.until("rows of who is called", called(names[-6:]))
        say(latencies(cluster, browser.drawn()))

        # the API ends and comes back: said, and healed by itself
        api.kill(hold_down=True)
        browser.until("it is said", market.while_waiting(lambda: page.locator("#trouble").is_visible()))
        assert "Cut off" in browser.text("#trouble")
        assert page.locator('#state[data-state="cut"]').is_visible()
        browser.picture("cut-1280-dark")
        cut_s = time.monotonic()
        api.release()
        browser.until(
            "live again", market.while_waiting(lambda: page.locator('#state[data-state="live"]').is_visible())
        )
        api_s = time.monotonic() - cut_s
        browser.until(
            "nothing is wrong", market.while_waiting(lambda: not page.locator("#trouble").is_visible())
        )

        # the worker ends and comes back: prices stand still, which is said; then what it says appears
        worker.kill(hold_down=True)
        browser.until("it is said", lambda: "No new price" in browser.text("#trouble"))
        worker.release()
        browser.until(
            "prices come", market.while_waiting(lambda: not page.locator("#trouble").is_visible()), 90
        )
        browser.until("rows of the others", called(names[:3]), 90)
        say(f"live again {api_s:.1f} s after the API was started again")
        assert all(url.startswith(f"http://{address}/") for url in browser.asked)
        unexpected = [it for it in browser.complaints if "ERR_" not in it and "503" not in it]
        assert unexpected == []


def latencies(cluster: Cluster, drawn: dict[str, float]) -> str:
    """From the record of the event, and from the mark that caused it, to the row. The list may have it before the event comes."""
    first: dict[str, tuple[LogRecord, RiskEvent]] = {}
    for record in read_topic(cluster.bootstrap, "margin-events"):
        event = decode_event(record.value)
        if isinstance(event, RiskEvent) and event.band is Band.MARGIN_CALL:
            first.setdefault(event.account, (record, event))
    told = [(drawn[name], *first[name]) for name in drawn if name in first]
    assert told
    after_record = sorted(time_ms - record.time_ms for time_ms, record, _ in told)
    after_mark = sorted(time_ms - event.time_ns / 1e6 for time_ms, _, event in told)
    assert after_record[len(told) // 2] < 1000 * SECONDS_MAX, after_record
    parts = [
        f"from {what} p50 {found[len(found) // 2]:.0f} max {found[-1]:.0f} ms"
        for what, found in (("the event's record", after_record), ("its mark", after_mark))
    ]
    return f"{len(told)} rows: {'; '.join(parts)}"
