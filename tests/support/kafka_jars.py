"""Fetch the jars of Apache Kafka once, into `.cache/kafka/libs` of this checkout.

    python -m tests.support.kafka_jars

does it ahead of the tests. `kafka/pom.xml` names what is fetched; a change of it fetches anew.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
LIBS = CACHE / "libs"
# Written last: says of which pom.xml the jars are complete.
STAMP = LIBS / "complete.sha256"
# 45 MB over a slow line.
FETCH_TIMEOUT_S = 900


class KafkaJarsError(RuntimeError):
    """The jars could not be fetched; the message carries what Maven said."""


def kafka_jars() -> Path:
    """Return the directory with the jars, fetching them first if they are not there. Safe to call from many processes."""
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not STAMP.exists() or STAMP.read_text() != wanted:
            _fetch()
            STAMP.write_text(wanted)
    return LIBS


def _fetch() -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaJarsError("mvn is not on PATH: .ci/services installs it (Debian package maven)")
    shutil.rmtree(LIBS, ignore_errors=True)
    command = [
        *(maven, "-q", "-B", "-f", str(POM), "-Dmaven.wagon.http.retryHandler.count=3"),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={LIBS}"),
    ]
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FETCH_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaJarsError(f"Maven did not finish in {FETCH_TIMEOUT_S} s: {' '.join(command)}") from error
    if said.returncode != 0:
        raise KafkaJarsError(f"Maven failed: {' '.join(command)}\n{said.stdout[-4000:]}")


if __name__ == "__main__":
    try:
        kafka_jars()
    except KafkaJarsError as error:
        sys.exit(str(error))
