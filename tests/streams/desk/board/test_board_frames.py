"""How the page keeps its frames while everything in it changes."""

import time
from collections.abc import Callable

import pytest

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from tests.streams.desk.board.small_book import address_of
from tests.streams.desk.conftest import QUOTES, MakeApi
from tests.support.board_browser import BoardBrowser
from tests.support.builders import account
from tests.support.cli_state import leave_state, marks_now
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def test_rows_when_500_change_four_times_a_second_then_frames_are_kept(
    make_api: MakeApi, redis_url_db: str, say: Callable[[str], None]
) -> None:
    states = [
        account({"USDT": 5_000 + it}, {"BTC-PERP": (1, 50_000)}, name=f"account-{it:03}") for it in range(500)
    ]
    pools = {"": LadderState(band=Band.WARNING)}
    risks = [AccountRisk(it.account, pools) for it in states]
    leave_state(redis_url_db, 0, states, risks, marks_now(QUOTES))
    api = make_api()
    wait_for("all are ranked", lambda: api.ask("/accounts").data["complete"])
    with BoardBrowser() as browser:
        page = browser.open(address_of(api), query="?rows=500&every_ms=250")
        browser.until("500 rows", lambda: "500 of 500" in browser.text("#accounts-count"))
        page.wait_for_timeout(1000)
        page.evaluate(MEASURE)
        begun_s, changes = time.monotonic(), 0
        while time.monotonic() - begun_s < 3:
            changes += 1
            browser.meanwhile(
                leave_state, redis_url_db, 0, marks=marks_now({**QUOTES, "BTC-PERP": 50_000 + changes})
            )
            page.wait_for_timeout(max(0, 250 * changes - 1000 * (time.monotonic() - begun_s)))
        seconds = time.monotonic() - begun_s
        frames, work, long = page.evaluate("() => [window.gaps, window.work, window.long]")
        shown = page.locator(".tabulator-row").first.inner_text()
    frames.sort()
    work.sort()
    part = lambda values, share: values[min(len(values) - 1, int(share * len(values)))]  # noqa: E731
    say(
        f"500 rows, {changes / seconds:.1f} changes/s: {len(frames) / seconds:.0f} frames/s, gap p50 {part(frames, 0.5):.1f} "
        f"p95 {part(frames, 0.95):.1f} p99 {part(frames, 0.99):.1f} max {frames[-1]:.1f} ms; work in a frame p50 "
        f"{part(work, 0.5):.2f} p95 {part(work, 0.95):.2f} max {work[-1]:.1f} ms; tasks above 50 ms: {long}"
    )
    assert changes > 4
    assert shown
    # what the page itself does fits into a frame; how often frames come is the machine's
    assert part(work, 0.95) < 1000 / 60
    assert browser.complaints == []


MEASURE = """() => {
  window.gaps = []; window.work = []; window.long = [];
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((it) => Math.round(it.duration)))).observe({type: 'longtask'});
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (work) => ask((now) => { const begun = performance.now(); work(now); window.work.push(performance.now() - begun); });
  let last = performance.now();
  const tick = (now) => { window.gaps.push(now - last); last = now; ask(tick); };
  ask(tick);
}"""
