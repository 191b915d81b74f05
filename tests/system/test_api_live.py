"""Worker and API together: what a worker judges is answered and told by the API, and an operator's word goes back to it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.contract.operator_command import BreakerVoid, OperatorOutcome, decode_operator_record
from tests.streams.desk.test_api_answers import timeless
from tests.support.api_process import ApiProcess, Heard
from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

CRASH = ("49000", "48000", "47400", "46800", "44500")
"""The owner's ratio: 1.63, 1.25, 1.01, 0.77, below nothing."""


def test_api_beside_a_worker_when_the_market_falls_then_it_answers_and_tells_what_the_worker_said(
    cluster: Cluster, tmp_path: Path, say: Callable[[str], None]
) -> None:
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
        "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true",
    }
    sender, quotes = Sender(cluster.bootstrap), dict(MARKS)
    worker = cluster.worker(OPERATOR_TOPIC_ENABLED="true")
    with ApiProcess(env, tmp_path) as api:
        api.wait_ready()

        def quoting(wanted: Callable[[], bool]) -> Callable[[], bool]:
            def attempt() -> bool:
                for symbol, price in quotes.items():
                    sender.prices(mark(symbol, price), symbol)
                sender.flush()
                return wanted()

            return attempt

        wait_for("the worker is ready", quoting(lambda: worker.ready() is None), 90)
        sender.inputs(*(deposit(name, "5000") for name in ("owner", "calm")))
        sender.inputs(fill("owner", "1"), fill("calm", "0.01"))
        wait_for("both are known", quoting(lambda: api.ask("/accounts").data["total"] == 2))
        with api.listen("?account=owner") as stream:
            stream.until("ready")
            heard: list[Heard] = []
            for price in CRASH:
                quotes |= {"BTC-PERP": price, "BTC-USD": price}
                wait_for(
                    f"the mark of {price}",
                    quoting(lambda price=price: price in str(api.ask("/symbols/BTC-PERP").data)),
                )
            wait_for("bankrupt", quoting(lambda: api.ask("/accounts").data["items"][0]["band"] == "bankrupt"))
            while not any(it.data["event"].get("entered") == "bankrupt" for it in heard):
                heard.append(stream.next())
        assert {"band", "liquidation"} <= {it.event for it in heard}

        events = api.ask("/events?account=owner&topic=liquidations").data
        assert not events["missing"]
        published = [it for it in read_topic(cluster.bootstrap, "liquidations") if it.key == b"owner"]
        assert [it["event"]["id"] for it in events["events"]] == [it.headers["ce_id"] for it in published][
            :50
        ]

        # an operator's word
        assert api.ask("/breaker/void", {"why": "a drill"}).status == 202
        told = [decode_operator_record(it.value) for it in read_topic(cluster.bootstrap, "operator")]
        (command,) = [it for it in told if not isinstance(it, OperatorOutcome)]
        assert isinstance(command, BreakerVoid)
        assert (command.who, command.why) == ("the-operator", "a drill")

        # nothing moves any more: the same to the digit
        worker.terminate()
        time.sleep(0.5)
        for path, command_words in (
            ("/accounts/owner?explain=true", ("account", "show", "owner", "--explain")),
            ("/accounts/owner/withdrawable", ("account", "withdrawable", "owner")),
            ("/liquidations", ("liquidations",)),
            ("/heat-map?last_prices=true", ("heatmap", "--last-prices")),
            ("/stress?last_prices=true", ("stress", "--last-prices")),
        ):
            said, shown = api.ask(path), unimargin(*command_words, "--json", env=env)
            assert said.status == 200, said.body
            assert timeless(said.data) == timeless(shown.json), path
        assert api.ask("/episodes").data["items"][0]["account"] == "owner"
        assert api.ask("/breaker").data == unimargin("breaker", "show", "--json", env=env).json
        say(f"{len(heard)} events heard, the last {heard[-1].data['event']['type']}")


def test_worker_beside_200_slow_clients_of_the_api_when_prices_move_then_it_judges_as_before(
    cluster: Cluster, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """A client that asks once a second and 200 that take nothing cost Redis, and so the worker, nothing that grows with them."""
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(POLICY_FILE),
    }
    sender = Sender(cluster.bootstrap)
    worker = cluster.worker()
    with ApiProcess(env, tmp_path) as api, cluster.client() as client:
        api.wait_ready()
        for symbol in MARKS:
            sender.prices(mark(symbol), symbol)
        sender.inputs(*(deposit(f"account-{number}", "5000") for number in range(50)))
        worker.wait_ready()
        wait_for("all are known", lambda: api.ask("/accounts").data["total"] == 50)

        def commands(seconds: float, work: Callable[[], None]) -> float:
            """Commands that Redis served from the API's side and the worker's, a second."""
            begun, count = time.monotonic(), client.info("stats")["total_commands_processed"]
            while time.monotonic() - begun < seconds:
                work()
            done: float = client.info("stats")["total_commands_processed"] - count
            return done / (time.monotonic() - begun)

        alone = commands(4, lambda: time.sleep(0.2))
        listeners = [api.listen() for _ in range(200)]
        asked = 0

        def ask() -> None:
            nonlocal asked
            for path in (
                "/accounts",
                "/accounts/account-7",
                "/liquidations",
                "/heat-map",
                "/stress",
                "/symbols",
            ):
                assert api.ask(path).status == 200
                asked += 1

        busy = commands(4, ask)
        for listener in listeners:
            listener.close()
        say(f"Redis serves {alone:.0f} commands/s alone, {busy:.0f} while {asked} questions were answered")
        assert asked > 20
        assert busy < 1.5 * alone + 20
