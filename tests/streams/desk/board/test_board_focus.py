"""Where focus is while accounts come, go and change places."""

import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from tests.streams.desk.board.small_book import address_of
from tests.streams.desk.conftest import QUOTES, MakeApi
from tests.support.board_browser import WATCH, BoardBrowser
from tests.support.builders import account
from tests.support.cli_state import leave_state, marks_now
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

FOCUSED = "() => document.activeElement.closest('.tabulator-row')?.dataset.account"
COUNT_LOSSES = """() => {
  window.losses = 0;
  const look = () => { window.losses += document.activeElement === document.body; requestAnimationFrame(look); };
  look();
}"""


def leave(url: str, equities: dict[str, int], band: Band = Band.WARNING) -> None:
    states = [
        account({"USDT": equity}, {"BTC-PERP": (1, 50_000)}, name=it) for it, equity in equities.items()
    ]
    risks = [AccountRisk(it, {"": LadderState(band=band)}) for it in equities]
    leave_state(url, 0, states, risks, marks_now(QUOTES))


def test_focus_when_accounts_come_and_go_then_it_stays_on_its_account(
    make_api: MakeApi, redis_url_db: str
) -> None:
    leave(redis_url_db, {f"a-{it}": 5_000 + 10 * it for it in range(100)})
    api = make_api()
    wait_for("all are ranked", lambda: api.ask("/accounts").data["total"] == 100)
    with BoardBrowser() as browser:
        page = browser.open(address_of(api), query="?every_ms=250")
        browser.until("100 rows", lambda: "100 of 100" in browser.text("#accounts-count"))
        page.locator('select[aria-label="Only accounts in this band"]').select_option("warning")
        page.evaluate(WATCH)
        for _ in range(4):
            page.keyboard.press("j")
        chosen = page.evaluate(FOCUSED)
        assert chosen
        page.evaluate(COUNT_LOSSES)
        for turn in range(5):
            browser.meanwhile(leave, redis_url_db, {f"new-{turn}": 5_001 + 20 * turn})
            browser.until("it is shown", lambda turn=turn: f"new-{turn}" in browser.drawn())
            browser.meanwhile(leave, redis_url_db, {f"a-{99 - turn}": 90_000}, Band.HEALTHY)
            browser.until("it is gone", lambda: "100 of 100" in browser.text("#accounts-count"))
            assert page.evaluate(FOCUSED) == chosen
        browser.meanwhile(leave, redis_url_db, {chosen: 9_000})
        last = "() => [...document.querySelectorAll('.tabulator-row')].at(-1).dataset.account"
        browser.until("it is the last", lambda: page.evaluate(last) == chosen)
        assert page.evaluate(FOCUSED) == chosen
        assert page.evaluate("() => window.losses") == 0
        page.keyboard.press("k")
        assert page.evaluate(FOCUSED) not in {None, chosen}

        left = page.evaluate(FOCUSED)
        browser.meanwhile(leave, redis_url_db, {left: 90_000}, Band.HEALTHY)
        row = f'.tabulator-row[data-account="{left}"]'
        browser.until("it has left", lambda: page.locator(row).count() == 0)
        assert page.evaluate(FOCUSED) not in {None, left}
        assert browser.complaints == []
