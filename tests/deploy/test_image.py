import re
import tomllib
from fnmatch import fnmatch

import pytest

from tests.deploy.files import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
SOURCES = [
    source
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    for source in line.split()[:-1]
]


def ignored(path):
    """Say what .dockerignore says: the last matching line decides, a directory decides for what is in it."""
    verdict = False
    parents = ["/".join(path.split("/")[: depth + 1]) for depth in range(path.count("/") + 1)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        names = parents if not line.startswith("**/") else path.split("/")
        if any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for name in names):
            verdict = not line.startswith("!")
    return verdict


@pytest.mark.parametrize("source", SOURCES)
def test_what_the_image_copies_exists_and_reaches_the_build(source):
    assert (ROOT / source).exists()
    assert not ignored(source)


@pytest.mark.parametrize(
    "path", [".git", ".env", "tests/deploy", "deploy/grafana", "engine/__pycache__", "data"]
)
def test_what_the_image_has_no_use_for_stays_out_of_the_build(path):
    assert ignored(path)


def test_the_wheel_finds_in_the_image_every_file_it_packs():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packed = build["targets"]["wheel"]["force-include"]
    assert packed
    assert set(packed) <= set(SOURCES)


def test_dependencies_come_from_the_lock_with_their_hashes_checked():
    assert "--verify-hashes" in DOCKERFILE
    assert "--constraints requirements.lock" in DOCKERFILE
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+.*$", lock, re.MULTILINE)
    assert len(pins) > 30
    assert all(pin.endswith("\\") for pin in pins), "a pin without a hash"


def test_image_when_a_setting_asks_for_an_extra_then_it_is_installed_and_locked():
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', DOCKERFILE)
    asked = {
        extra
        for path in (ROOT / "streams").rglob("*.py")
        for extra in re.findall(r"unimargin\[(\w+)\]", path.read_text())
    }
    assert {"desk", "traces"} <= asked - {"demo"} <= set(extras.split(","))
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lock = (ROOT / "requirements.lock").read_text()
    for extra in extras.split(","):
        for wanted in optional[extra]:
            name = re.match(r"[\w-]+", wanted)[0]
            assert re.search(rf"^{name}==", lock, re.MULTILINE), name


def test_final_stage_runs_as_a_numbered_user_and_builds_nothing():
    assert re.search(r"^USER 10001:10001$", FINAL, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|uv |gcc", FINAL)
    assert 'ENTRYPOINT ["unimargin"]' in FINAL
    cache = re.search(r"NUMBA_CACHE_DIR=(\S+)", FINAL)[1]
    assert re.search(rf"install -d -o unimargin .*{cache}", FINAL)


def test_healthcheck_asks_for_liveness_on_the_configured_port():
    check = re.search(r'CMD \["python", "-c", "(.+)"\]', FINAL)[1]
    compile(check, "healthcheck", "exec")
    assert "UNIMARGIN_METRICS_PORT" in check
    assert "/livez" in check


def test_both_stages_stand_on_the_same_pinned_base():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])
