"""The wheel on its own: built, installed outside of the checkout, and used there."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from engine.edition import ENGINE_VERSION

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`unimargin` of a wheel, in an environment that has this one's libraries but not this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", place, ROOT, cwd=place)
    (wheel,) = place.glob("*.whl")
    run(UV, "venv", "--quiet", "--python", sys.executable, place / "venv", cwd=place)
    run(UV, "pip", "install", "--quiet", "--no-deps", "--python", place / "venv", wheel, cwd=place)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    # a directory named in a .pth is searched, but its own .pth, which leads to the checkout, is not read
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return place / "venv" / "bin" / "unimargin"


def run(*words: object, cwd: Path) -> str:
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "UNIMARGIN", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(it) for it in words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_when_built_then_its_version_is_that_of_the_engine(program: Path, tmp_path: Path) -> None:
    asked = "from importlib.metadata import version; print(version('unimargin'))"
    assert run(program.with_name("python"), "-c", asked, cwd=tmp_path).strip() == ENGINE_VERSION


def test_wheel_when_installed_elsewhere_then_its_own_code_runs(program: Path, tmp_path: Path) -> None:
    where = run(
        program.with_name("python"),
        "-c",
        "import streams, engine; print(streams.__path__, engine.__path__)",
        cwd=tmp_path,
    )
    assert str(program.parents[1]) in where
    assert str(ROOT) not in where.replace(str(program.parents[1]), "")


def test_policies_when_asked_of_the_wheel_then_each_of_the_checkout_is_there_and_can_be_written(
    program: Path, tmp_path: Path
) -> None:
    known = [it["name"] for it in json.loads(run(program, "policy", "list", "--json", cwd=tmp_path))]
    files = {file.stem: file for file in (ROOT / "deploy" / "policies").glob("*.toml")}
    assert known == sorted(files)
    for name in ("default", "okx-portfolio"):
        assert run(program, "policy", "show", name, cwd=tmp_path) == files[name].read_text("utf-8")
    run(program, "policy", "init", "bybit-uta-cross", "--out", "mine.toml", cwd=tmp_path)
    assert "valid" in run(program, "policy", "check", "mine.toml", cwd=tmp_path)
    assert [it.name for it in tmp_path.iterdir()] == ["mine.toml"]


def test_board_when_the_wheel_is_installed_then_every_file_of_the_page_is_in_it(
    program: Path, tmp_path: Path
) -> None:
    (page,) = program.parents[1].glob("lib/python*/site-packages/streams/desk/board/page")
    own = ROOT / "streams" / "desk" / "board" / "page"
    files = [it.relative_to(own) for it in own.rglob("*") if it.is_file()]
    assert all((page / it).read_bytes() == (own / it).read_bytes() for it in files)
    assert "vendor/LICENSE-tabulator.txt" in map(str, files)
    said = run(program, "board", "--help", cwd=tmp_path)
    assert "--replay" in said


@pytest.mark.slow
@pytest.mark.parametrize("words", ["demo --seconds 5 --accounts 50 --json", "quickstart --json"])
def test_stack_of_its_own_when_the_wheel_starts_it_then_it_says_what_happened_and_leaves_nothing_where_it_was_called(
    program: Path, tmp_path: Path, words: str
) -> None:
    said = json.loads(run(program, *words.split(), cwd=tmp_path))
    assert said["completed"] if "demo" in words else said["margin_call"]
    assert list(tmp_path.iterdir()) == []
