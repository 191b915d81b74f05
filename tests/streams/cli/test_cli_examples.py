"""Every example of a help page does what it says as far as it can where no server answers: it is nobody's mistake."""

import re
from pathlib import Path

import pytest

from streams.cli.lazy_commands import examples_of
from streams.config.invocation import EXIT_MISTAKE
from streams.config.shipped_policies import shipped_policies
from tests.deploy.commands import every_command, words_of
from tests.support.cli import NOWHERE, unimargin

STARTING = {
    "worker",
    "api",
    "board",
    "mcp",
    "demo",
    "quickstart",
    "feed",
    "simulate",
    "bench",
    "notify",
    "replay",
}
"""These start something, or go through a day: their own tests do."""
POLICIES = {"mine.toml", "new.toml", "default.toml", "bybit.toml", "okx.toml"}
FILE = re.compile(r"[\w./-]+\.(toml|json|jsonl|csv\.gz|backup|env)")
EXAMPLES = {
    example: words_of(example)
    for _, command in every_command()
    for example in examples_of(command)
    if words_of(example)[0] not in STARTING and not words_of(example)[0].startswith("--")
}


def files_of(words: list[str]) -> set[str]:
    """Files that it reads."""
    return {
        word
        for before, word in zip(["", *words], words, strict=False)
        if FILE.fullmatch(word) and before != "--out"
    }


@pytest.mark.parametrize("example", [it for it, words in EXAMPLES.items() if files_of(words) <= POLICIES])
def test_example_when_it_is_run_and_nobody_answers_then_it_makes_no_mistake(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in files_of(EXAMPLES[example]):
        Path(file).write_text(shipped_policies()["default"].read_text())
    env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"}
    said = unimargin(*EXAMPLES[example], env=env)
    assert said.code != EXIT_MISTAKE, said.err


def test_examples_when_run_then_of_most_commands() -> None:
    assert {"account", "breaker", "policy", "quarantine", "topics", "whatif"} <= {
        it[0] for it in EXAMPLES.values()
    }
