"""A real Apache Kafka as an exchange runs it: TLS, a password or a certificate for each role, and an authorizer.

TLS and the authorizer are configured as docker-compose.yml configures its broker, with what deploy/make-secrets makes.
The plain listener of `RealKafka` stays for the tests' own tools, whose principal, ANONYMOUS, may do anything.
"""

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.embedded.ports import LOOPBACK, free_port
from tests.deploy.files import compose
from tests.support.certificates import Authority
from tests.support.kafka_server import RealKafka
from tests.support.relay import Relay
from tests.support.secure_redis import make_secrets

MODULES = "org.apache.kafka.common.security"


class SecureKafka(RealKafka):
    """SASL (every mechanism that we speak) over TLS behind a relay, and mutual TLS."""

    def __init__(self, directory: Path, principals: tuple[str, ...]) -> None:
        super().__init__(directory)
        self._secrets = make_secrets(directory / "secrets")
        self.authority = Authority(self._secrets)
        self.passwords = {name: f"c4nary-{name}-{secrets.token_hex(8)}" for name in principals}
        self._sasl_port, self._mutual_port = free_port(), free_port()
        self.relay = Relay(self._sasl_port)
        """In front of the SASL listener, at the address that it advertises: no client comes past it."""

    @property
    def sasl_address(self) -> str:
        """Where passwords and tokens are asked for."""
        return f"{LOOPBACK}:{self.relay.port}"

    @property
    def mutual_address(self) -> str:
        """Where certificates are asked for."""
        return f"{LOOPBACK}:{self._mutual_port}"

    def scram(self, principal: str) -> dict[str, str]:
        """Settings of a client that shows a password."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.sasl_address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": principal,
            "KAFKA_SASL_PASSWORD": self.passwords[principal],
            "KAFKA_TLS_CA_FILE": str(self.authority.ca),
        }

    def librdkafka(self, principal: str) -> dict[str, object]:
        """The same for the tests' own clients."""
        return {
            "bootstrap.servers": self.sasl_address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": principal,
            "sasl.password": self.passwords[principal],
            "ssl.ca.location": str(self.authority.ca),
            "log_level": 0,
        }

    def mutual(self, principal: str, key_password: str) -> dict[str, str]:
        """Settings of a client that shows a certificate."""
        own = self.authority.issue(f"{principal}-of-the-tests", key_password, common_name=principal)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.mutual_address,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_TLS_CA_FILE": str(self.authority.ca),
            "KAFKA_TLS_CERTIFICATE_FILE": str(own.certificate),
            "KAFKA_TLS_KEY_FILE": str(own.key),
            "KAFKA_TLS_KEY_PASSWORD": key_password,
        }

    def __enter__(self) -> Self:
        self.relay.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.relay.__exit__(kind, error, trace)

    def _more_properties(self, _properties: Mapping[str, str]) -> dict[str, str]:
        users = " ".join(f'user_{name}="{password}"' for name, password in self.passwords.items())
        listeners = {
            "SASL": (f"{LOOPBACK}:{self._sasl_port}", self.sasl_address),
            "MUTUAL": (self.mutual_address, self.mutual_address),
        }
        bound = ",".join(f"{name}://{at}" for name, (at, _) in listeners.items())
        advertised = ",".join(f"{name}://{at}" for name, (_, at) in listeners.items())
        return {
            "listeners": f"{_properties['listeners']},{bound}",
            "advertised.listeners": f"{_properties['advertised.listeners']},{advertised}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            **self._as_composed(),
            "listener.name.sasl.ssl.client.auth": "none",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.sasl.plain.sasl.jaas.config": f"{MODULES}.plain.PlainLoginModule required {users};",
            **{
                f"listener.name.sasl.{it}.sasl.jaas.config": f"{MODULES}.scram.ScramLoginModule required;"
                for it in ("scram-sha-256", "scram-sha-512")
            },
            "listener.name.sasl.oauthbearer.sasl.jaas.config": (
                f'{MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
            ),
        }

    def _as_composed(self) -> dict[str, str]:
        """What the image makes of the variables that docker-compose.yml gives the broker, as far as it is about security."""
        given = compose()["services"]["kafka"]["environment"]
        parts = ("SSL_", "AUTHORIZER_", "ALLOW_", "SUPER_")
        found = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value.replace("$$", "$").replace(
                "/run/secrets", str(self._secrets)
            )
            for name, value in given.items()
            if name.startswith(tuple(f"KAFKA_{part}" for part in parts))
        }
        return {**found, "super.users": f"{found['super.users']};User:ANONYMOUS"}

    def _format_options(self) -> list[str]:
        return [
            word
            for name, password in self.passwords.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for word in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]


def token_of(principal: str, seconds: float = 3600) -> str:
    """A token that a broker without an identity provider takes: signed by nobody."""
    now_s = int(time.time())
    parts = ({"alg": "none"}, {"sub": principal, "iat": now_s, "exp": now_s + int(seconds)})
    return ".".join(urlsafe_b64encode(json.dumps(it).encode()).decode().rstrip("=") for it in parts) + "."
