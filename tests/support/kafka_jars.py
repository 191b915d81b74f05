"""Fetch jars once: those of Apache Kafka into `.cache/kafka/libs` of this checkout.

    python -m tests.support.kafka_jars

does it ahead of the tests. `kafka/pom.xml` names what is fetched; a change of it fetches anew.
"""

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

from tests.support.commands import output_of

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
# Written last: says of which pom.xml the jars are complete.
STAMP = "complete.sha256"
# 45 MB over a slow line.
FETCH_TIMEOUT_S = 900


class KafkaJarsError(RuntimeError):
    """The jars could not be fetched; the message carries what Maven said."""


def kafka_jars() -> Path:
    """Return the directory with the jars, fetching them first if they are not there. Safe to call from many processes."""
    return jars_of(POM, CACHE)


def jars_of(pom: Path, cache: Path) -> Path:
    """Return the directory below `cache` with the jars that `pom` names, in the same way. Raises KafkaJarsError."""
    wanted = hashlib.sha256(pom.read_bytes()).hexdigest()
    libs = cache / "libs"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = libs / STAMP
        if not stamp.exists() or stamp.read_text() != wanted:
            _fetch(pom, libs)
            stamp.write_text(wanted)
    return libs


def _fetch(pom: Path, libs: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaJarsError("mvn is not on PATH: .ci/services installs it (Debian package maven)")
    shutil.rmtree(libs, ignore_errors=True)
    command = [
        *(maven, "-q", "-B", "-f", str(pom), "-Dmaven.wagon.http.retryHandler.count=3"),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"),
    ]
    output_of(command, timeout_s=FETCH_TIMEOUT_S, failure=KafkaJarsError)


if __name__ == "__main__":
    try:
        kafka_jars()
    except KafkaJarsError as error:
        sys.exit(str(error))
