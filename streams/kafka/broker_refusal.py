"""Why a broker that answers does not take us.

aiokafka tells its log what became of the first connection and its caller only that there is none. So the connection is tried once more, by
itself, and what went wrong is put into words.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.config.settings import Settings
from streams.kafka.kafka_security import security_options

NOT_ALLOWED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""What the broker says to a principal that it knows and that may not do what it asks."""

NOT_ALLOWED_HINT = "`unimargin topics acls show` says who may do what"

TRY_SECONDS = 5.0
TRY_MS = int(TRY_SECONDS * 1000)


class BrokerHungUp(KafkaConnectionError):  # type: ignore[misc]  # noqa: N818 - it names what happened
    """The broker took the connection and ended it. The message begins with a code."""

    def __str__(self) -> str:
        """Our words alone; aiokafka puts the type before them."""
        return str(self.args[0])


class BrokerRefused(BrokerHungUp):
    """The broker is there, and TLS or authentication fails: waiting mends nothing."""

    retriable = False


async def explained(settings: Settings, error: KafkaError) -> KafkaError:
    """A better error for a client that could not connect: the same one, where the first broker that answers has nothing against us."""
    options = security_options(settings)
    for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers):
        try:
            async with asyncio.timeout(TRY_SECONDS):
                await _try(host, port, options)
        except (OSError, KafkaError, TimeoutError) as reason:
            if (found := _put_into_words(reason, f"{host}:{port}", settings)) is not None:
                return found
        else:
            return error
    return error


async def _try(host: str, port: int, options: Mapping[str, Any]) -> None:
    connection = await create_conn(host, port, request_timeout_ms=TRY_MS, **options)
    try:
        # what a listener says to who comes without credentials comes with the first request
        told = await connection.send(MetadataRequest([]))
        if (
            not told.brokers
        ):  # aiokafka takes what the broker has against a token for a challenge, and goes on
            raise AuthenticationFailedError("the broker tells nothing")
    finally:
        connection.close()


def _put_into_words(error: BaseException, where: str, settings: Settings) -> KafkaError | None:
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    match cause:
        case ssl.SSLCertVerificationError():
            hint = "is UNIMARGIN_KAFKA_TLS_CA_FILE its authority, and this its name?"
            return BrokerRefused(f"kafka_certificate_refused: {where}: {cause.verify_message}; {hint}")
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            hint = "which mechanisms does this listener have (UNIMARGIN_KAFKA_SASL_MECHANISM)?"
            return BrokerRefused(f"kafka_mechanism_refused: {where}: {cause}; {hint}")
        case AuthenticationFailedError() | SaslAuthenticationFailed():
            hint = "user, password or token are not what the broker knows"
            return BrokerRefused(f"kafka_authentication_failed: {where}: {cause}; {hint}")
        # before the next, of which it is one: a proxy whose broker is away ends a handshake too
        case ssl.SSLEOFError() | ConnectionResetError() | KafkaConnectionError():
            return BrokerHungUp(f"kafka_closed_the_connection: {where}: {_wanted(settings)}")
        case ssl.SSLError():
            hint = "does this listener speak TLS, and which certificates does it ask for?"
            return BrokerRefused(f"kafka_tls_failed: {where}: {cause.reason or cause}; {hint}")
    return None


def _wanted(settings: Settings) -> str:
    """What a listener may have expected that takes a connection and ends it."""
    if "SSL" not in settings.kafka_security_protocol:
        return "does this listener expect TLS, or SASL (UNIMARGIN_KAFKA_SECURITY_PROTOCOL)?"
    if settings.kafka_tls_certificate_file is None:
        return "does this listener speak TLS, and does it ask for a certificate (UNIMARGIN_KAFKA_TLS_CERTIFICATE_FILE) or for SASL?"
    return "does this listener trust the authority of our certificate (UNIMARGIN_KAFKA_TLS_CERTIFICATE_FILE)?"
