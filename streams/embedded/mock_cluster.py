"""librdkafka's mock cluster by ctypes: the shared library in the confluent-kafka wheel exports it, its Python API does not.

The functions are declared in librdkafka's `rdkafka_mock.h`. Use one cluster per process and let the process's end free
it: the library's threads serve the sockets until then.
"""

import ctypes
import re
from functools import cache
from importlib import metadata

from streams.embedded.embedded_errors import EmbeddedServiceError

RD_KAFKA_PRODUCER = 0
ERROR_TEXT_BYTES = 512
# The mock cluster numbers its brokers from 1.
BROKER_ID = 1
# syslog's LOG_ERR: the owning client would otherwise warn on the terminal that it has no broker configured.
LOG_LEVEL = b"3"

# Kafka's own rule for topic names. The mock cluster takes any name, and a partition count below 1 ends the process.
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@cache
def librdkafka() -> ctypes.CDLL:
    """Load librdkafka out of the confluent-kafka wheel and declare the functions used here.

    Raises EmbeddedServiceError when the wheel is missing or holds no such library.
    """
    try:
        files = metadata.files("confluent-kafka") or []
    except metadata.PackageNotFoundError:
        files = []
    paths = [str(file.locate()) for file in files if file.name.startswith("librdkafka")]
    if not paths:
        raise EmbeddedServiceError(
            "no librdkafka: the embedded broker needs the confluent-kafka wheel, "
            "which this package's extra brings: unimargin[demo]"
        )
    try:
        return _declare(ctypes.CDLL(paths[0]))
    except (OSError, AttributeError) as error:
        raise EmbeddedServiceError(f"{paths[0]} has no mock cluster: {error}") from error


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, size]),
        "rd_kafka_new": (pointer, [number, pointer, text, size]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_broker_set_host_port": (None, [pointer, ctypes.c_int32, text, number]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """A one-broker Kafka protocol server on a loopback port of the library's choice, alive as long as the process.

    `initial_rebalance_delay_ms`: how long the first member of a new group waits for others to join it.
    Raises EmbeddedServiceError with librdkafka's words when it cannot be made.
    """

    def __init__(self, initial_rebalance_delay_ms: int = 0) -> None:
        self._library = librdkafka()
        error = ctypes.create_string_buffer(ERROR_TEXT_BYTES)
        configuration = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(configuration, b"log_level", LOG_LEVEL, error, len(error))
        client = self._library.rd_kafka_new(RD_KAFKA_PRODUCER, configuration, error, len(error))
        if not client:
            raise EmbeddedServiceError(f"librdkafka made no client: {error.value.decode(errors='replace')}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(client, 1)
        if not self._cluster:
            raise EmbeddedServiceError("librdkafka made no mock cluster")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(
            self._cluster, initial_rebalance_delay_ms
        )

    @property
    def port(self) -> int:
        """The loopback port that the cluster listens on."""
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return int(address.rpartition(b":")[2])

    def advertise(self, host: str, port: int) -> None:
        """Tell clients to connect to another address: one that relays to `port`."""
        self._library.rd_kafka_mock_broker_set_host_port(self._cluster, BROKER_ID, host.encode(), port)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic. Raises EmbeddedServiceError when it exists already or is not one that Kafka would create."""
        if not TOPIC_NAME.fullmatch(name) or partitions < 1:
            raise EmbeddedServiceError(
                f"no topic that Kafka would create: {name!r} of {partitions} partitions"
            )
        code: int = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code:
            reason: bytes = self._library.rd_kafka_err2str(code)
            raise EmbeddedServiceError(f"topic {name!r} not created: {reason.decode(errors='replace')}")
