"""What Faust concludes from its credentials is what the settings say, for every protocol and mechanism."""

from pathlib import Path
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.config.settings import Settings
from streams.kafka.kafka_security import security_options
from streams.worker.group_credentials import group_credentials

TLS = {"ssl_context"}


def settings_of(protocol: str, mechanism: str, token: Path) -> Settings:
    fields: dict[str, Any] = {"kafka_security_protocol": protocol, "kafka_sasl_mechanism": mechanism}
    if "SASL" in protocol and mechanism == "OAUTHBEARER":
        fields["kafka_sasl_token_file"] = token
    elif "SASL" in protocol:
        fields |= {"kafka_sasl_username": "worker", "kafka_sasl_password": "secret"}
    return Settings(**fields)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_credentials_when_faust_has_read_them_then_aiokafka_is_told_what_our_own_clients_are(
    tmp_path: Path, protocol: str, mechanism: str
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    settings = settings_of(protocol, mechanism, token)
    ours = security_options(settings)
    theirs = {
        name: value
        for name, value in credentials_to_aiokafka_auth(group_credentials(settings)).items()
        if value is not None
    }
    provider = theirs.pop("sasl_oauth_token_provider", None)
    ours.pop("sasl_oauth_token_provider", None)
    assert {it: value for it, value in theirs.items() if it not in TLS} == {
        it: value for it, value in ours.items() if it not in TLS
    }
    assert (set(theirs) >= TLS) is (set(ours) >= TLS) is protocol.endswith("SSL")
    if provider is not None:
        assert await provider.token() == "first"
        token.write_text("renewed")
        assert await provider.token() == "renewed"
