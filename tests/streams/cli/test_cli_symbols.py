"""`unimargin symbols show`, and what `doctor` says of prices, on what workers leave in a real Redis."""

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest

from engine.inputs import Mark
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.policy import Policy
from streams.prices.symbol_beliefs import UNLISTED, SymbolBeliefs
from streams.store.belief_store import read_beliefs, save_beliefs
from streams.store.redis_client import connect
from tests.support.builders import mark, sample, sample_text
from tests.support.cli import Said, unimargin
from tests.support.cli_state import leave_state

pytestmark = pytest.mark.system
SECOND_SOURCE = ("[assets.USDT]\n", "[assets.USDT]\nsecond_source = { redemption = 1.0 }\n")


class Left:
    """A policy file, and a worker's mark book whose marks and beliefs are left in Redis."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env, self.policy = env, sample(SECOND_SOURCE)
        self.book = MarkBook(self.policy)
        self.beliefs = SymbolBeliefs(self.policy.price_symbols, self.book)
        self.now_ns = time.time_ns()

    def offer(self, *marks: Mark, age_s: float = 0) -> None:
        dated = self.now_ns - int(age_s * NANOSECONDS)
        _, refused = self.book.accept(
            MarksRecord(tuple(msgspec.structs.replace(it, time_ns=dated) for it in marks)), dated
        )
        self.beliefs.refuse(refused)
        for notice in self.book.take_notices():
            self.beliefs.tell(notice)

    def leave(self) -> None:
        url = self.env["UNIMARGIN_REDIS_URL"]
        leave_state(url, 0, marks=self.book.prices.marks.values())
        asyncio.run(_save(url, self.beliefs))

    def shown(self, *words: str) -> Said:
        self.leave()
        return unimargin("symbols", "show", *words, env=self.env)


async def _save(url: str, beliefs: SymbolBeliefs) -> None:
    async with connect(url) as client:
        if changed := beliefs.changed():
            await save_beliefs(client, "unimargin", changed)


@pytest.fixture
def left(redis_env: dict[str, str], tmp_path) -> Left:  # type: ignore[no-untyped-def]
    (tmp_path / "policy.toml").write_text(sample_text(SECOND_SOURCE))
    return Left({**redis_env, "UNIMARGIN_POLICY_FILE": str(tmp_path / "policy.toml")})


def test_symbols_when_all_is_shown_then_price_age_doubt_second_source_and_newest_refusal(left: Left) -> None:
    left.offer(mark("USDT-USD", 1, 1), age_s=40)
    for n in range(3):
        left.offer(mark("USDT-USD", "0.65", 2 + n), age_s=3 - n)
    left.offer(mark("BTC-PERP", 100, 1), age_s=30)
    left.offer(mark("BTC-PERP", -1, 2), mark("DOGE", 1, 1))
    said = left.shown("--json")
    assert said.code == 0, said.err
    views = {it["symbol"]: it for it in said.json}
    assert set(views) == {*left.policy.price_symbols, UNLISTED}
    usdt = views["USDT-USD"]
    assert (usdt["price"], usdt["stale"], usdt["doubt"]["haircut"]) == ("0.65", False, "0.54")
    assert (usdt["second_source"]["other"], usdt["refusal"]["reason"]) == ("1.0", "jump_unconfirmed")
    assert usdt["notice"]["kind"] == "second_source_diverged"
    btc = views["BTC-PERP"]
    assert (btc["stale"], btc["refusal"]["reason"], btc["refusal"]["sequence"]) == (True, "not_positive", 2)
    assert 29 < float(btc["age_seconds"]) < 120
    assert btc["doubt"] is not None
    assert views[UNLISTED]["refusal"]["symbol"] == "DOGE"
    assert (views["ETH-PERP"]["price"], views["ETH-PERP"]["stale"]) == (None, True)
    told = left.shown().out
    for words in (
        "never quoted",
        "stale",
        "not_positive",
        "unknown_symbol",
        "quoted 0.65, other 1, doubted since",
    ):
        assert words in told, told


def test_symbols_when_one_is_asked_for_then_every_detail_and_an_unknown_one_is_told(left: Left) -> None:
    left.offer(Mark("BTC-PERP", mark("", 100).price, 7, 0, funding_rate=mark("", "0.0001").price))
    left.offer(mark("BTC-PERP", 900, 8))
    one = left.shown("BTC-PERP", "--json")
    assert (one.json["mark"]["sequence"], one.json["refusal"]["refused"]) == (7, 1)
    told = left.shown("BTC-PERP").out
    for words in (
        "7 of epoch 0",
        "funding rate",
        "0.0001",
        "jump_unconfirmed: 900 is more than",
        "1 refused so far",
    ):
        assert words in told, told
    unknown = left.shown("NOPE")
    assert (unknown.code, "no price symbol" in unknown.err) == (1, True)


def test_symbols_when_marks_say_what_the_exchange_holds_then_shown_and_an_absurd_amount_is_the_refusal(
    left: Left,
) -> None:
    left.offer(mark("BTC-PERP", 100, 7, open_interest=18_250))
    left.offer(mark("BTC-PERP", 100, 8, open_interest="1E16"))
    left.offer(mark("BTC-USD", 100, 7, deposits=5_000, borrows=800, potential_deposits=20))
    contract, coin = left.shown("BTC-PERP"), left.shown("BTC-USD")
    for words in ("open interest", "18250", "fact_out_of_range: open_interest 1E+16 is above"):
        assert words in contract.out, contract.out
    for words in ("deposits", "5000", "borrows", "800", "potential deposits", "20"):
        assert words in coin.out, coin.out
    assert left.shown("BTC-PERP", "--json").json["mark"]["open_interest"] == "18250"


def test_doctor_when_marks_are_refused_or_doubted_then_it_warns(left: Left) -> None:
    left.offer(mark("USDT-USD", 1, 1), age_s=40)
    for n in range(3):
        left.offer(mark("USDT-USD", "0.65", 2 + n), age_s=3 - n)
    left.offer(mark("BTC-PERP", 0, 2))
    left.leave()
    checks = {it["check"]: it for it in json.loads(unimargin("doctor", "--json", env=left.env).out)}
    assert checks["refused marks"]["status"] == "warn"
    assert "BTC-PERP: not_positive" in checks["refused marks"]["found"]
    assert "USDT-USD: quoted 0.65, other 1.0" in checks["second sources"]["found"]


def test_doctor_when_the_policy_scales_with_what_no_mark_states_then_it_warns_until_one_does(
    left: Left,
) -> None:
    def found() -> dict[str, dict[str, str]]:
        left.leave()
        said = unimargin("doctor", "--json", env=left.env)
        return {it["check"]: it for it in json.loads(said.out)}

    assert "amounts of the exchange" not in found()  # this policy scales with nothing
    scaled = (
        (
            "[instruments.BTC-PERP]",
            "[instruments.BTC-PERP]\nopen_interest = { lower_cap = 1, upper_cap = 2 }",
        ),
        ('index = "BTC-USD"', 'index = "BTC-USD"\nborrow_scale_start = 5'),
        (
            "[instruments.BTC-PERP]",
            '[margin.capped]\nrealisable_profit = true\n[instruments.BTC-PERP]\nmargin = "capped"',
        ),
    )
    Path(left.env["UNIMARGIN_POLICY_FILE"]).write_text(sample_text(SECOND_SOURCE, *scaled))
    left.offer(mark("BTC-PERP", 100, 1), mark("BTC-USD", 100, 1, deposits=7))
    check = found()["amounts of the exchange"]
    assert (check["status"], check["found"]) == (
        "warn", "never stated: BTC-PERP: open_interest, BTC-PERP: realisable_share, BTC-USD: borrows",
    )  # fmt: skip
    left.offer(
        mark("BTC-PERP", 100, 2, open_interest=0, realisable_share=1), mark("BTC-USD", 100, 2, borrows=3)
    )
    left.offer(mark("BTC-PERP", 101, 3), mark("BTC-USD", 100, 3))
    assert found()["amounts of the exchange"]["status"] == "ok"


async def test_beliefs_when_redis_goes_away_then_they_are_kept_and_saved_when_it_is_back(
    redis_url_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.prices.symbol_beliefs.SAVE_SECONDS", 0.02)
    monkeypatch.setattr("streams.store.belief_store.RETRY_FOR_S", 0.1)
    policy: Policy = sample()
    book = MarkBook(policy)
    beliefs = SymbolBeliefs(policy.price_symbols, book)
    _, refused = book.accept(MarksRecord((mark("BTC-PERP", -1, 2),)), 0)
    beliefs.refuse(refused)
    async with connect("redis://127.0.0.1:1/0") as away, connect(redis_url_db) as client:
        clients = [away]
        tries = 0

        async def save(changed: object) -> None:
            nonlocal tries
            tries += 1
            await save_beliefs(clients[-1], "unimargin", changed)  # type: ignore[arg-type]

        task = asyncio.create_task(beliefs.keep(save))
        async with asyncio.timeout(20):
            while tries < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            clients.append(client)
            while not await read_beliefs(client, "unimargin"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        assert set(await read_beliefs(client, "unimargin")) == {"BTC-PERP"}
