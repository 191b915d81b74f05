"""The files of the page: what others wrote is what they published, and nothing in the page is written where the content policy forbids it."""

import hashlib
import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from streams.desk.board.page_files import MEDIA_TYPES, page_files

PAGE = Path(str(resources.files("streams.desk.board"))) / "page"
OWN = sorted(it for it in PAGE.rglob("*") if it.is_file() and it.parent.name != "vendor")
SCRIPTS = [it for it in OWN if it.suffix == ".js"]
LINES_MAX = 300


def test_vendored_files_when_hashed_then_they_are_the_recorded_ones_and_no_others_lie_there() -> None:
    recorded: dict[str, str] = {}
    for package in tomllib.loads((PAGE / "vendor" / "vendor.toml").read_text()).values():
        assert package["licence"] == "MIT"
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["integrity"].startswith("sha512-")
        assert any(name.startswith("LICENSE") for name in package["sha256"])
        recorded |= package["sha256"]
    found = {
        it.name: hashlib.sha256(it.read_bytes()).hexdigest()
        for it in (PAGE / "vendor").iterdir()
        if it.name != "vendor.toml"
    }
    assert found == recorded


def test_page_when_read_then_nothing_runs_or_loads_from_elsewhere() -> None:
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)[^>]*>", html)
    for it in [*SCRIPTS, *(it for it in OWN if it.suffix in {".css", ".html"})]:
        text = it.read_text()
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text.replace("http://www.w3.org", "")), it.name
        assert "@import" not in text, it.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda it: it.name)
def test_script_when_read_then_data_never_becomes_markup_and_it_is_small(script: Path) -> None:
    text = script.read_text()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert way not in text
    assert len(text.splitlines()) < LINES_MAX
    for path in re.findall(r'from "(\./[^"]+|\.\./[^"]+)"', text):
        assert (script.parent / path).is_file(), path


def test_files_when_listed_then_all_but_the_record_of_vendors_are_served() -> None:
    served = page_files()
    lying = {str(it.relative_to(PAGE)) for it in PAGE.rglob("*") if it.is_file()}
    assert lying - served.keys() == {"vendor/vendor.toml"}
    assert {Path(name).suffix for name in served} <= MEDIA_TYPES.keys()


def test_stems_when_listed_then_no_two_scripts_share_one() -> None:
    assert len({it.stem for it in SCRIPTS}) == len(SCRIPTS)
