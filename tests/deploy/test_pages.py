"""The pages: short where they begin, reachable from there, their links and files exist, their commands parse, and nothing is forgotten."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.policy import Policy, parse
from streams.asyncapi.example_day import POLICY
from streams.cli.send.outgoing import Outgoing, outgoing
from tests.deploy import input_tables
from tests.deploy.commands import assert_command_exists, every_command, is_command, words_of
from tests.deploy.files import DEPLOY, ROOT, compose

WORDS_MAX = 1_500
"""Of the README: a first visit."""
ROOMS = ("engine", "streams", "tests", "deploy")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(
        page
        for room in ROOMS
        for page in sorted((ROOT / room).rglob("*.md"))
        if "node_modules" not in page.parts
    ),
]
LISTED = [page for page in PAGES if page.parent.name != "runbooks" and page.name != "CHANGELOG.md"]
"""Runbooks have a test of their own; the changelog speaks of what was."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return [it for it in re.findall(r"\]\(([^)\s]+)\)", text) if not it.startswith(("http:", "https:"))]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


def blocks(page: Path) -> Iterator[str]:
    """Lines of code: in fences and indented."""
    text = page.read_text("utf-8")
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE)


def spans(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.fixture
def named_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place where the file that a page calls FILE is there."""
    (tmp_path / "FILE").touch()
    monkeypatch.chdir(tmp_path)


def test_readme_when_counted_then_no_longer_than_a_first_visit():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= WORDS_MAX


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_when_followed_then_each_leads_to_a_file_and_a_heading_that_are_there(page):
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}: {link}"


def test_pages_when_links_are_followed_from_the_readme_then_every_page_is_reached():
    """A link to a folder leads to all that is in it."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
        for target in targets:
            ahead += sorted(target.glob("*.md")) if target.is_dir() else [target] * (target.suffix == ".md")
    assert [name_of(page) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", LISTED, ids=name_of)
def test_files_when_a_page_names_one_then_it_is_there(page):
    for span in spans(page):
        path = span.partition(" ")[0].rstrip("/")
        if re.fullmatch(rf"(?:{'|'.join(ROOMS)})/[\w./*-]+", path):
            assert list(ROOT.glob(path)), f"{name_of(page)}: {path}"


@pytest.mark.usefixtures("named_files")
@pytest.mark.parametrize("page", LISTED, ids=name_of)
def test_commands_when_a_page_shows_one_then_the_program_takes_it(page):
    for line in filter(is_command, blocks(page)):
        assert_command_exists(words_of(line), whole=True)
    for span in filter(is_command, spans(page)):
        assert_command_exists(words_of(span))


@pytest.mark.parametrize("page", LISTED, ids=name_of)
def test_programs_when_a_page_shows_one_then_module_target_and_tests_are_there(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for line in [*blocks(page), *spans(page)]:
        for module in re.findall(r"python -m ([\w.]+)", line):
            assert importlib.util.find_spec(module), f"{name_of(page)}: {module}"
        for target, arguments in re.findall(r'^make ([a-z-]+)(?: ARGS="([^"]*)")?', line):
            assert target in targets, f"{name_of(page)}: make {target}"
            for word in shlex.split(arguments):
                assert not word.startswith("tests/") or (ROOT / word).exists(), f"{name_of(page)}: {word}"


def test_commands_when_listed_then_each_has_its_line_on_the_page_of_commands():
    page = ROOT / "streams" / "cli" / "README.md"
    shown = [" ".join(words_of(span)) for span in spans(page) if is_command(span)]
    leaves = [name for name, command in every_command() if not hasattr(command, "commands")]
    assert [name for name in leaves if not any(f"{it} ".startswith(f"{name} ") for it in shown)] == []


def test_input_formats_when_made_anew_then_the_page_is_what_it_was():
    """Where it is not: `python -m tests.deploy.input_tables`."""
    text = input_tables.PAGE.read_text("utf-8")
    assert input_tables.written(text) == text


def test_input_formats_when_an_example_is_sent_then_the_program_takes_it():
    policy = parse(POLICY)
    lines = [line for line in blocks(input_tables.PAGE) if is_command(line)]
    assert len(lines) == len(input_tables.messages()) - 4
    for line in lines:
        _, message, *options = words_of(line)
        role = options[1] if options else None
        assert isinstance(outgoing(message, role, policy), Outgoing), line


def test_policies_page_when_read_then_its_whole_policy_loads_and_every_table_and_file_has_its_line():
    page = DEPLOY / "policies" / "README.md"
    text = page.read_text("utf-8")
    assert parse(re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)[0]).name == "mine"
    assert {field.encode_name for field in msgspec.structs.fields(Policy)} <= set(spans(page))
    assert {file.name for file in page.parent.glob("*.toml")} <= set(links(page))


def test_page_of_operations_when_read_then_memory_and_folders_are_those_of_the_tree():
    text = (DEPLOY / "README.md").read_text("utf-8")
    limits = [
        service["deploy"]["resources"]["limits"]["memory"]
        for service in compose()["services"].values()
        if not service.get("profiles")
    ]
    gigabytes = sum(float(it[:-1]) / (1 if it.endswith("g") else 1024) for it in limits)
    assert f"{gigabytes:g} GB" in text
    for folder in (it.name for it in DEPLOY.iterdir() if it.is_dir() and any(it.iterdir())):
        assert f"`{folder}/`" in text, folder


def test_figures_when_listed_then_each_has_the_command_that_prints_it_again():
    text = (ROOT / "tests" / "benchmarks" / "README.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| figure")]
    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"\| (?:`[^`]+`|as above) \|$", row)] == []


def test_decisions_when_listed_then_each_names_what_was_rejected():
    text = (ROOT / "streams" / "decisions.md").read_text("utf-8")
    rows = [
        re.split(r"(?<!\\)\|", line)[1:-1]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| decision")
    ]
    assert len(rows) >= 40
    assert [row[0] for row in rows if len(row) != 4 or not all(cell.strip() for cell in row)] == []
