"""How Kafka and Redis are reached: addresses, encryption, credentials; and which of it is refused before anything is connected.

* Nothing travels in clear to another machine unless a setting says that it may: passwords, fills and states are in it.
* Settings that do nothing together are refused too. A password without SASL or an authority without TLS says that somebody believes in a
  protection that is not there.
* A secret stands in its variable or in the file that `..._FILE` names, never in both. A setting that is "" counts as not given.

Every refusal begins with a code, the table of which is in deploy/kafka/README.md.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings

from streams.config.host_port import read_host_port
from streams.config.redis_address import FORMS, read_address

OAUTH = "OAUTHBEARER"


class ConnectionSettings(BaseSettings):
    """The settings of both connections; what is wrong with them is a pydantic ValidationError."""

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_security_protocol: str = Field(
        default="PLAINTEXT", pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$"
    )
    kafka_plaintext_allowed: bool = False
    """Whether PLAINTEXT and SASL_PLAINTEXT may leave this machine: only where the network between is nobody else's."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_sasl_password_file: Path | None = None
    kafka_sasl_token_file: Path | None = None
    """Of OAUTHBEARER: holds the token, and is read again at every connection, for whoever wrote it renews it there."""
    kafka_tls_ca_file: Path | None = None
    """Authorities (PEM) that vouch for the brokers; by default those of this machine."""
    kafka_tls_certificate_file: Path | None = None
    """Our own certificate (PEM, with what links it to its authority), where the broker knows us by it."""
    kafka_tls_key_file: Path | None = None
    kafka_tls_key_password: SecretStr = SecretStr("")
    kafka_tls_key_password_file: Path | None = None

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """May carry a password, so it is a secret as a whole."""
    redis_url_file: Path | None = None
    redis_plaintext_allowed: bool = False
    """Whether redis:// may leave this machine: only where the network between is nobody else's."""
    redis_username: str = ""
    redis_password: SecretStr = SecretStr("")
    redis_password_file: Path | None = None
    redis_tls_ca_file: Path | None = None
    """Authorities (PEM) that vouch for Redis; by default those of this machine."""
    redis_tls_certificate_file: Path | None = None
    """Our own certificate (PEM), where Redis asks for one (`tls-auth-clients yes`)."""
    redis_tls_key_file: Path | None = None
    redis_tls_key_password: SecretStr = SecretStr("")
    redis_tls_key_password_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: Any) -> Any:
        values = {name: value for name, value in given.items() if not _blank(name, value)}
        for name in (it for it in ConnectionSettings.model_fields if f"{it}_file" in values):
            if not _secret(name):
                continue
            if name in values:
                raise _refused("secret_given_twice", f"{variable(name)} and {variable(name)}_FILE; give one")
            values[name] = _secret_of(Path(values[f"{name}_file"]), f"{variable(name)}_FILE")
        return values

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        refuse_unsafe(self)
        return self


def refuse_unsafe(settings: ConnectionSettings) -> None:
    """Raise `PydanticCustomError`, its message with a code, for settings that are not to be connected with."""
    for check in (_check_kafka_address, _check_kafka_credentials, _check_kafka_tls, _check_redis):
        check(settings)


def kafka_in_clear(settings: ConnectionSettings) -> list[str]:
    """Brokers on other machines to which everything would be sent in clear. Raises ValueError for an address that is none."""
    if "SSL" in settings.kafka_security_protocol:
        return []
    addresses = [address.strip() for address in settings.kafka_bootstrap_servers.split(",")]
    return [it for it in addresses if not _on_this_machine(read_host_port(it)[0])]


def redis_in_clear(settings: ConnectionSettings) -> list[str]:
    """Hosts on other machines to which everything would be sent in clear. Raises ValueError for an address that is none."""
    place = read_address(settings.redis_url.get_secret_value())
    return [host for host, _ in place.hosts if place.transport == "redis" and not _on_this_machine(host)]


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return f"UNIMARGIN_{field.upper()}"


def embedded_settings(server: Literal["kafka", "redis"]) -> dict[str, Any]:
    """The settings of one connection as they must be for a server of our own on loopback: no credentials, no TLS."""
    return {
        name: field.default
        for name, field in ConnectionSettings.model_fields.items()
        if name.startswith(server)
    }


def _check_kafka_address(it: ConnectionSettings) -> None:
    addresses = it.kafka_bootstrap_servers.split(",")
    for number, address in enumerate(addresses, 1):
        try:
            read_host_port(address.strip())
        except ValueError:
            # not repeated: where somebody wrote a login, it would be told
            raise _refused(
                "kafka_address_malformed",
                f"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS: address {number} of {len(addresses)} is not host:port "
                "(several: comma between them; no scheme, no login; an IPv6 address in brackets)",
            ) from None
    away = kafka_in_clear(it)
    if away and not it.kafka_plaintext_allowed:
        raise _refused(
            "kafka_plaintext_refused",
            f"UNIMARGIN_KAFKA_SECURITY_PROTOCOL {it.kafka_security_protocol} would send everything in clear to {', '.join(away)}; "
            "use SASL_SSL or SSL, or say UNIMARGIN_KAFKA_PLAINTEXT_ALLOWED=true where the network between is nobody else's",
        )


def _check_kafka_credentials(it: ConnectionSettings) -> None:
    protocol, mechanism = it.kafka_security_protocol, it.kafka_sasl_mechanism
    given = [
        variable(name)
        for name in ("kafka_sasl_username", "kafka_sasl_password", "kafka_sasl_token_file")
        if _given(getattr(it, name))
    ]
    if "SASL" not in protocol:
        _refuse_unused(
            "kafka_credentials_unused", given, f"with UNIMARGIN_KAFKA_SECURITY_PROTOCOL {protocol}"
        )
        return
    wanted = (
        ["kafka_sasl_token_file"] if mechanism == OAUTH else ["kafka_sasl_username", "kafka_sasl_password"]
    )
    missing = [variable(name) for name in wanted if variable(name) not in given]
    if missing:
        raise _refused(
            "kafka_credentials_missing", f"{protocol} with {mechanism} needs {' and '.join(missing)}"
        )
    unused = [name for name in given if name not in map(variable, wanted)]
    _refuse_unused("kafka_credentials_unused", unused, f"with UNIMARGIN_KAFKA_SASL_MECHANISM {mechanism}")


def _check_kafka_tls(it: ConnectionSettings) -> None:
    _check_certificate(it, "kafka")
    if "SSL" not in it.kafka_security_protocol:
        place = f"with UNIMARGIN_KAFKA_SECURITY_PROTOCOL {it.kafka_security_protocol}"
        _refuse_unused("kafka_tls_unused", _tls_given(it, "kafka"), place)


def _check_redis(it: ConnectionSettings) -> None:
    _check_certificate(it, "redis")
    try:
        place = read_address(it.redis_url.get_secret_value())
    except ValueError as error:
        raise _refused(
            "redis_address_malformed",
            f"UNIMARGIN_REDIS_URL: not an address of the form {FORMS}: {error}",
        ) from None
    if any(name.startswith("ssl_") for name in place.options):
        raise _refused(
            "redis_tls_in_url",
            "UNIMARGIN_REDIS_URL: give authorities and certificates by UNIMARGIN_REDIS_TLS_...",
        )
    for name, in_url in (("redis_username", place.user), ("redis_password", place.password)):
        if in_url and _given(getattr(it, name)):
            raise _refused(
                "secret_given_twice", f"{variable(name)} and the one in UNIMARGIN_REDIS_URL; give one"
            )
    if it.redis_username and not (place.password or _given(it.redis_password)):
        raise _refused("redis_credentials_missing", "UNIMARGIN_REDIS_USERNAME needs UNIMARGIN_REDIS_PASSWORD")
    if place.transport != "rediss":
        _refuse_unused("redis_tls_unused", _tls_given(it, "redis"), "with an address that is not rediss://")
    away = redis_in_clear(it)
    if away and not it.redis_plaintext_allowed:
        raise _refused(
            "redis_plaintext_refused",
            f"UNIMARGIN_REDIS_URL would send everything in clear to {', '.join(away)}; use rediss://, or say "
            "UNIMARGIN_REDIS_PLAINTEXT_ALLOWED=true where the network between is nobody else's",
        )


def _check_certificate(it: ConnectionSettings, server: str) -> None:
    """A certificate and its key come together, and a key's password with its key."""
    certificate, key, password = (
        _given(getattr(it, f"{server}_tls_{part}"))
        for part in ("certificate_file", "key_file", "key_password")
    )
    if certificate != key:
        has, lacks = ("CERTIFICATE", "KEY") if certificate else ("KEY", "CERTIFICATE")
        prefix = f"UNIMARGIN_{server.upper()}_TLS"
        raise _refused(
            f"{server}_certificate_without_key", f"{prefix}_{has}_FILE needs {prefix}_{lacks}_FILE"
        )
    if password and not key:
        _refuse_unused(f"{server}_tls_unused", [variable(f"{server}_tls_key_password")], "without a key")


def _tls_given(it: ConnectionSettings, server: str) -> list[str]:
    names = [name for name in ConnectionSettings.model_fields if name.startswith(f"{server}_tls_")]
    return [variable(name) for name in names if _given(getattr(it, name))]


def _refuse_unused(code: str, given: list[str], place: str) -> None:
    if given:
        raise _refused(code, f"{', '.join(given)}: without effect {place}")


def _refused(code: str, words: str) -> PydanticCustomError:
    escaped = f"{code}: {words}".replace("{", "{{").replace("}", "}}")
    return PydanticCustomError("refused_connection", escaped)


def _on_this_machine(host: str) -> bool:
    """By its words alone: what a name resolves to may change."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _given(value: SecretStr | str | Path | None) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _blank(name: str, value: object) -> bool:
    return name in ConnectionSettings.model_fields and value == ""


def _secret(name: str) -> bool:
    return ConnectionSettings.model_fields[name].annotation is SecretStr


def _secret_of(path: Path, named: str) -> str:
    """What a file of a secret holds, without the line end that editors leave."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise _refused("secret_file_unreadable", f"{named}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _refused("secret_file_unreadable", f"{named}: {path}: not UTF-8 text") from None
    if not text:
        raise _refused("secret_file_unreadable", f"{named}: {path}: it is empty")
    return text
