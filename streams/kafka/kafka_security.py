"""How a client proves who it is to Kafka and what it trusts: the one place where that is decided, for aiokafka and Faust alike."""

import asyncio
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from streams.config.connection_settings import OAUTH
from streams.config.settings import Settings
from streams.config.tls_context import tls_context


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """The token of OAUTHBEARER, read anew at every connection: who wrote the file (an agent beside us, the kubelet) renews it there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """What the file holds now. Raises `AuthenticationFailedError` where that is nothing: clients try again."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        try:
            found = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            words = getattr(error, "strerror", None) or "not UTF-8 text"
            raise AuthenticationFailedError(f"token file {self._path}: {words}") from None
        if not found:
            raise AuthenticationFailedError(f"token file {self._path}: it is empty")
        return found


def security_options(settings: Settings) -> dict[str, Any]:
    """What any aiokafka client is told about security. Raises `SettingsError` for a file that cannot be used."""
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if "SSL" in protocol:
        options["ssl_context"] = tls_context(settings, "kafka")
    if "SASL" not in protocol:
        return options
    options["sasl_mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_sasl_mechanism == OAUTH:
        if settings.kafka_sasl_token_file is None:
            raise AssertionError("the settings insist on it")
        options["sasl_oauth_token_provider"] = TokenFile(settings.kafka_sasl_token_file)
    else:
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options
