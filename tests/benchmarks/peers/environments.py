"""An environment of its own for each peer, under `.cache/peers`, made by name from PyPI and Maven Central at its first run."""

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.commands import output_of
from tests.support.kafka_jars import KafkaJarsError, jars_of
from tests.support.workers import TREE

CACHE = TREE / ".cache" / "peers"
INSTALL_TIMEOUT_S = 900


class UnavailableError(RuntimeError):
    """The peer cannot be had on this machine; the message says why."""


def interpreter(name: str, packages: Sequence[str]) -> Path:
    """Return the Python of an environment that holds these packages, as uv takes their names."""
    python = CACHE / name / "bin" / "python"
    stamp = CACHE / name / "complete.txt"
    wanted = "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        _installed(sys.executable, "-m", "venv", "--clear", str(CACHE / name))
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
        _installed(*uv, "--python", str(python), *packages)
        stamp.write_text(wanted)
    return python


def jars(pom: Path) -> Path:
    """Return the directory that holds the jars which a pom.xml names, and what they need."""
    try:
        return jars_of(pom, CACHE / f"jars-{pom.name.partition('.')[0]}")
    except KafkaJarsError as error:
        raise UnavailableError(str(error)) from error


def compiled(source: Path, libs: Path) -> Path:
    """Return the directory with the classes of one Java file."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    classes = CACHE / f"classes-{source.stem}-{digest}"
    if not classes.exists():
        _installed(program("javac"), "-nowarn", "-cp", f"{libs}/*", "-d", str(classes), str(source))
    return classes


def program(name: str) -> str:
    """Return where a program is on PATH."""
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"{name} is not on PATH")
    return found


def _installed(*command: str) -> None:
    output_of(command, timeout_s=INSTALL_TIMEOUT_S, failure=UnavailableError)
