"""What the page does with text, in the scripts themselves: amounts keep their digits, a stream is read however it is cut."""

import json
import subprocess
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from random import Random
from typing import Any

from tests.streams.desk.board.test_board_files import PAGE

PARTS = PAGE / "parts"
CASES = 2_000


def run_script(script: Path, body: str, given: Any) -> Any:
    """Run `body` behind a script that imports nothing; it gets `given` and says its result as JSON."""
    source = f"{script.read_text()}\nconst given = {json.dumps(given)};\nconst say = (it) => console.log(JSON.stringify(it));\n{body}"
    done = subprocess.run(
        ["node", "--input-type=module"], input=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def amounts(seed: int = 5) -> list[str]:
    random = Random(seed)
    made = [
        Decimal(random.randrange(-(10 ** random.randrange(1, 30)), 10 ** random.randrange(1, 30))).scaleb(
            -random.randrange(25)
        )
        for _ in range(CASES)
    ]
    return [
        "0",
        "-0",
        "0.005",
        "-0.005",
        "0.0049",
        "999.995",
        "-999999.999",
        "1E+3",
        "12e-7",
        *map(str, made),
    ]


def test_amounts_when_shown_then_rounded_by_their_digits_and_grouped() -> None:
    given = amounts()
    body = "say(given.map((it) => [0, 2, 5].map((places) => shown(it, places))));"
    for text, shown in zip(given, run_script(PARTS / "amounts.js", body, given), strict=True):
        with localcontext() as context:
            context.prec = 80
            for places, said in zip((0, 2, 5), shown, strict=True):
                rounded = Decimal(text).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
                wanted = f"{rounded or abs(rounded):,f}".replace("-", "−")
                assert said == wanted, text


def test_amounts_when_there_is_little_room_then_three_digits_and_a_letter_stand_for_them() -> None:
    short = {
        "0": "0", "100": "100", "999": "999", "1000": "1k", "120000": "120k", "150000000": "150M", "100000000": "100M",
        "1234567.89": "1.23M", "-5061235": "−5.06M", "2e12": "2T", "0.05": "0.05", "4000000000": "4B",
    }  # fmt: skip
    said = run_script(PARTS / "amounts.js", "say(given.map(short));", list(short))
    assert dict(zip(short, said, strict=True)) == short


def test_percent_when_shown_or_typed_then_the_point_moves_and_no_digit_is_lost() -> None:
    given = amounts(6)
    body = "say(given.map((it) => [percent(it, 30), fractionOf(it)]));"
    for text, (percent, fraction) in zip(given, run_script(PARTS / "amounts.js", body, given), strict=True):
        with localcontext() as context:
            context.prec = 80
            assert (
                Decimal(percent.removesuffix(" %").replace(",", "").replace("−", "-")) == Decimal(text) * 100
            )
            assert Decimal(fraction) == Decimal(text) / 100
    body = 'say(["", "ten", "1,5", "--1", "1e"].map(fractionOf));'
    assert run_script(PARTS / "amounts.js", body, None) == [None] * 5


def test_stream_when_cut_anywhere_then_the_same_events_are_read() -> None:
    stream = 'retry: 2000\n\nid: 1.2\nevent: band\ndata: {"a":1}\n\n: still here\n\nid: 1.3\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\nid: 9\n\n'
    body = """
      const read = (size) => { const found = []; const reader = new SseReader((it) => found.push(it));
        for (let at = 0; at < given.length; at += size) reader.take(given.slice(at, at + size)); return found; };
      say([1, 2, 3, 7, 1000].map(read));"""
    wanted = [
        {"id": "1.2", "event": "band", "data": '{"a":1}'},
        None,
        {"id": "1.3", "event": "x", "data": "a\nb"},
    ]
    assert run_script(PARTS / "sse_reader.js", body, stream) == [wanted] * 5
