"""The board in a real Chromium over a real API, Redis and Kafka: how it is served, who is let in, what a person can do, and that it survives."""

import time
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from engine.events.price_events import price_event
from engine.ladder.breaker import BreakerState, Stake
from engine.liquidation.adl_risk import AdlLevel, AdlState
from engine.liquidation.fund_groups import FundBalance
from engine.marks.outages import OutageKind, OutageTurn
from streams.contract.cloudevents import outbox_entry
from streams.contract.operator_command import BreakerRelease, decode_operator_record
from streams.desk.api_keys import ApiRole
from tests.streams.cli.test_cli_breaker import OPENING, store
from tests.streams.cli.test_cli_events import publish
from tests.streams.desk.board.small_book import EVIL, address_of, leave_book
from tests.streams.desk.conftest import MakeApi
from tests.support.api_process import KEYS, ApiProcess
from tests.support.board_browser import PHONE, BoardBrowser
from tests.support.cli_state import leave_adl
from tests.support.kafka_log import read_topic
from tests.support.kafka_server import RealKafka
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def test_page_when_served_then_it_takes_no_key_and_may_load_nothing_from_elsewhere(api: ApiProcess) -> None:
    told = api.ask("/board/", key=None)
    assert told.status == 200
    policy = dict(part.split(" ", 1) for part in told.headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert told.headers["x-content-type-options"] == "nosniff"
    for path, place in (("/", "board/"), ("/board", "board/")):
        found = api.ask(path, key=None)
        assert (found.status, found.headers["location"]) == (307, place)
    script = api.ask("/board/parts/main.js", key=None)
    assert script.headers["content-type"].startswith("text/javascript")
    again = api.ask("/board/parts/main.js", key=None, headers={"If-None-Match": script.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    packed = api.ask("/board/vendor/uPlot.esm.js", key=None, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    for missing in (
        "/board/nothing.js",
        "/board/../api_keys.py",
        "/board/%2e%2e/api_keys.py",
        "/board/vendor/vendor.toml",
    ):
        assert api.ask(missing, key=None).status == 404, missing
    assert not [path for path in api.ask("/schema").json["paths"] if "board" in path]


def test_book_when_opened_then_all_of_it_is_shown_as_text_and_nothing_foreign_is_asked(
    make_api: MakeApi, cli_kafka: RealKafka, redis_url_db: str
) -> None:
    leave_book(redis_url_db)
    api = make_api()
    wait_for("all are ranked", lambda: api.ask("/accounts").data["total"] == 4)
    with BoardBrowser() as browser:
        page = browser.open(address_of(api))
        assert "key=" not in page.url
        browser.until("four rows", lambda: page.locator(".tabulator-row").count() == 4)
        names = page.locator(".tabulator-row a").all_inner_texts()
        assert names[2:] == ["called", "well/1"]
        assert EVIL in names[:2]
        outage = OutageTurn(
            kind=OutageKind.SYMBOL_DEGRADED,
            symbol=EVIL,
            since_ns=1,
            time_ns=time.time_ns(),
            symbols_stale=1,
            symbols=4,
        )
        browser.meanwhile(
            publish, cli_kafka, [outbox_entry(price_event(outage, 2, 5.0, (0,), "digest"), 0, "/test")]
        )
        browser.until("it is said", lambda: EVIL in browser.text("#said"))
        for place, said in (
            ("#heat", "BTC-PERP"),
            ("#symbols", "ETH-PERP"),
            ("#episodes", "called"),
            ("#breaker", "closed"),
            ("#cascade", "No insurance fund"),
            ("#course-said", "2"),
        ):
            browser.until(f"{place} shows {said}", lambda place=place, said=said: said in browser.text(place))
        browser.until(
            "curves", lambda: page.locator("#course-bands canvas, #course-equity canvas").count() == 2
        )
        browser.picture("book-1280-dark")
        for panel in ("#symbols", "#episodes"):
            assert page.evaluate(
                "(it) => document.querySelector(it).scrollWidth <= document.querySelector(it).clientWidth",
                panel,
            ), panel

        # keys alone: a tile, the table, an account, back
        page.keyboard.press("/")
        page.keyboard.type("called")
        page.keyboard.press("Enter")
        browser.until("the account", lambda: "collateral value" in browser.text("#account-figures"))
        assert page.title() == "called – unimargin board"
        page.locator('[data-figure="/equity"]').focus()
        page.keyboard.press("Enter")
        lines = page.locator("#account-figures tr.line")
        explained = api.ask("/accounts/called?explain=true").data["pools"][0]
        equity = [it for it in explained["lines"] if it["figure"] == "equity"]
        browser.until("its lines", lambda: lines.count() == len(equity))
        assert [
            it.rsplit("\t", 1)[-1].replace(",", "").replace("−", "-") for it in lines.all_inner_texts()
        ] == [it["value"] for it in equity]
        assert "takes a key of the role risk" in browser.text(".whatif")
        page.keyboard.press("b")
        page.locator('.tile[data-band="liquidation"]').press("Enter")
        browser.until("two rows", lambda: page.locator(".tabulator-row").count() == 2)
        page.keyboard.press("j")
        page.keyboard.press("ArrowDown")
        assert (
            page.evaluate("() => document.activeElement.closest('.tabulator-row').dataset.account")
            == "sinking"
        )
        page.keyboard.press("Enter")
        browser.until("the account", lambda: browser.text("h1 bdi") == "sinking")

        assert page.evaluate("() => window.ran") is None
        assert {url.split("/board/")[0] for url in browser.asked if "/board/" in url} == {
            f"http://{address_of(api)}"
        }
        assert all(url.startswith(f"http://{address_of(api)}/") for url in browser.asked)
        assert browser.complaints == []


def test_book_when_the_window_is_narrow_or_light_then_it_fits_and_is_read(
    make_api: MakeApi, redis_url_db: str
) -> None:
    leave_book(redis_url_db)
    api = make_api()
    wait_for("all are ranked", lambda: api.ask("/accounts").data["total"] == 4)
    with BoardBrowser(size=PHONE, light=True) as browser:
        page = browser.open(address_of(api), ApiRole.RISK)
        browser.until("rows", lambda: page.locator(".tabulator-row").count() == 4)
        browser.until("the heat map", lambda: "BTC-PERP" in browser.text("#heat"))
        browser.picture("book-390-light")
        assert not browser.scrolls_sideways()
        assert "read" in browser.text("#fresh")
        page.locator("#help").click()
        assert "Keys and words" in browser.text("dialog")
        page.keyboard.press("Escape")
        dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        page.goto(f"{page.url.split('#')[0]}#/account/{'called'}")
        browser.until("stress", lambda: "by beta" in browser.text("#account-stress"))
        page.locator("#account input[name=move]").fill("-12.5")
        page.locator(".whatif button").click()
        body = {"account": "called", "shocks": [{"target": "ALL", "move": "-0.125"}]}
        browser.until("the answer", lambda: "ratio" in browser.text(".whatif .scroller"))
        after = api.ask("/what-if", body).data["pools"][0]["after"]["ratio"]
        assert page.locator(".whatif tr.sum td").last.get_attribute("title") == after
        browser.picture("account-390-light")
        assert not browser.scrolls_sideways()
        page.locator("#theme").click()
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == dark
        assert browser.complaints == []


def test_account_when_nobody_has_that_name_then_said_where_its_panels_would_be(
    make_api: MakeApi, redis_url_db: str
) -> None:
    leave_book(redis_url_db)
    api = make_api()
    wait_for("all are ranked", lambda: api.ask("/accounts").data["total"] == 4)
    with BoardBrowser() as browser:
        page = browser.open(address_of(api))
        page.goto(f"{page.url.split('#')[0]}#/account/caled")
        browser.until("it is said", lambda: "did you mean called?" in browser.text("#account-none"))
        browser.picture("unknown-1280-dark")
        assert page.locator("#account .panel:visible").count() == 0


def test_key_when_missing_or_wrong_then_it_is_asked_for_and_kept_for_this_tab_alone(
    make_api: MakeApi, redis_url_db: str
) -> None:
    leave_book(redis_url_db)
    api = make_api()
    with BoardBrowser() as browser:
        page = browser.page
        page.goto(f"http://{address_of(api)}/board/")
        field = page.locator("dialog input[name=key]")
        field.fill("um_nobody")
        field.press("Enter")
        browser.until("no", lambda: "Authorization" in browser.text("dialog .wrong"))
        field.fill(KEYS[ApiRole.VIEWER])
        field.press("Enter")
        browser.until_live()
        assert "the-viewer · viewer" in browser.text("#who")
        assert page.evaluate("() => [document.cookie, localStorage.length]") == ["", 0]
        assert all(KEYS[ApiRole.VIEWER] not in url for url in browser.asked)


def test_breaker_when_released_from_the_board_then_who_and_why_travel_by_the_operators_topic(
    make_api: MakeApi, redis_url_db: str, cli_kafka: RealKafka, operators: dict[str, str]
) -> None:
    leave_book(redis_url_db)
    store(redis_url_db, 1, BreakerState(openings=3, opening=OPENING, held=Stake(118, 4_100_000, 80_000)))
    topic = operators["UNIMARGIN_TOPIC_OPERATOR"]
    api = make_api(TOPIC_OPERATOR=topic, OPERATOR_TOPIC_ENABLED="true")
    with BoardBrowser() as browser:
        page = browser.open(address_of(api))
        browser.until("it is shown", lambda: "shard 1 holds liquidations" in browser.text("#breaker"))
        browser.picture("breaker-1280-dark")
        release = page.get_by_role("button", name="Release…")
        release.click()
        page.keyboard.press("Escape")
        browser.until("nothing asked", lambda: not page.locator("dialog").is_visible())
        release.click()
        page.locator("dialog input[name=key]").fill(KEYS[ApiRole.VIEWER])
        page.locator("dialog input[name=person]").fill("Ada")
        page.locator("dialog input[name=why]").fill("all sources agree")
        page.get_by_role("button", name="Release them").click()
        browser.until("refused", lambda: "role operator" in browser.text("dialog .wrong"))
        assert read_topic(cli_kafka.bootstrap_servers, topic) == []
        page.locator("dialog input[name=key]").fill(KEYS[ApiRole.OPERATOR])
        page.get_by_role("button", name="Release them").click()
        browser.until("sent", lambda: "is on the topic" in browser.text("dialog"))
    (record,) = read_topic(cli_kafka.bootstrap_servers, topic)
    command = decode_operator_record(record.value)
    assert isinstance(command, BreakerRelease)
    assert (command.who, command.why, command.shard) == ("the-operator (Ada)", "all sources agree", 1)


def test_cascade_when_a_fund_is_stated_then_its_worth_and_who_is_near_deleveraging_are_shown(
    make_api: MakeApi, redis_url_db: str, cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    leave_book(redis_url_db)
    leave_adl(redis_url_db, 0, {"ETH-PERP": AdlState(AdlLevel.SOON, time.time_ns(), None, 1)})
    topic = unique("fund")
    cli_kafka.create_topics({topic: 1})
    fund = FundBalance(group="all", balances={"USDT": Decimal("1234567.5")}, time_ns=time.time_ns())
    sender = Sender(cli_kafka.bootstrap_servers)
    sender.send(topic, b"all", msgspec.json.encode(fund))
    sender.flush()
    api = make_api(TOPIC_FUND=topic, FUND_TOPIC_ENABLED="true")
    standing = wait_for("the fund is read", lambda: api.ask("/cascade").data["funds"])
    assert standing == [{"group": "all", "symbols": [], "worth": "1234567.5", "stated_ns": fund.time_ns}]
    with BoardBrowser() as browser:
        browser.open(address_of(api))
        browser.until("the fund", lambda: "1,234,568 USD" in browser.text("#cascade"))
        browser.until("the risk", lambda: "deleveraging of ETH-PERP\n▲ soon" in browser.text("#cascade"))
        assert browser.complaints == []
