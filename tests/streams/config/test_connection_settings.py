"""What is refused before anything is connected, each with its code; and secrets that stand in files."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.config.connection_settings import ConnectionSettings, variable
from streams.config.settings import Settings, SettingsError, load_settings, settings_with

CANARY = "c4nary-hunter2"
AWAY = {"kafka_bootstrap_servers": "10.1.2.3:9092"}
SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_username": "w", "kafka_sasl_password": CANARY}
SECRETS = (
    "kafka_sasl_password",
    "kafka_tls_key_password",
    "redis_url",
    "redis_password",
    "redis_tls_key_password",
)


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [it for it in os.environ if it.startswith("UNIMARGIN_")]:
        monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, given: Mapping[str, str]) -> Settings:
    for name, value in given.items():
        monkeypatch.setenv(variable(name), value)
    return load_settings()


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("kafka_plaintext_refused", AWAY),
        ("kafka_plaintext_refused", {"kafka_bootstrap_servers": "127.0.0.1:9092,kafka-2:9092"}),
        ("kafka_plaintext_refused", {"kafka_bootstrap_servers": "[fd00::1]:9092"}),
        ("kafka_plaintext_refused", {"kafka_bootstrap_servers": "localhost.example.org:9092"}),
        ("kafka_plaintext_refused", {**AWAY, **SASL, "kafka_security_protocol": "SASL_PLAINTEXT"}),
        *(
            ("kafka_address_malformed", {"kafka_bootstrap_servers": address})
            for address in (
                "kafka",
                f"u:{CANARY}@localhost:9092",
                f"u%3A{CANARY}%40localhost:9092",
                f"localhost:9092,{CANARY}",
                "::1:9092",
                "[localhost]:9092",
                "localhost:0",
                "localhost:99999",
                "PLAINTEXT://localhost:9092",
            )
        ),
        ("kafka_credentials_missing", {"kafka_security_protocol": "SASL_SSL"}),
        ("kafka_credentials_missing", {**SASL, "kafka_sasl_username": ""}),
        ("kafka_credentials_missing", {**SASL, "kafka_sasl_password": ""}),
        (
            "kafka_credentials_missing",
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
        ),
        ("kafka_credentials_unused", {"kafka_sasl_password": CANARY}),
        ("kafka_credentials_unused", {"kafka_security_protocol": "SSL", "kafka_sasl_username": "w"}),
        ("kafka_credentials_unused", {**SASL, "kafka_sasl_token_file": "token"}),
        (
            "kafka_credentials_unused",
            {**SASL, "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_sasl_token_file": "token"},
        ),
        ("kafka_tls_unused", {"kafka_tls_ca_file": "ca.pem"}),
        ("kafka_tls_unused", {"kafka_security_protocol": "SSL", "kafka_tls_key_password": CANARY}),
        (
            "kafka_certificate_without_key",
            {"kafka_security_protocol": "SSL", "kafka_tls_certificate_file": "c.pem"},
        ),
        ("kafka_certificate_without_key", {"kafka_security_protocol": "SSL", "kafka_tls_key_file": "k.pem"}),
        ("redis_plaintext_refused", {"redis_url": f"redis://u:{CANARY}@redis:6379/0"}),
        ("redis_address_malformed", {"redis_url": f"http://u:{CANARY}@h"}),
        ("redis_address_malformed", {"redis_url": f"redis://u:{CANARY}"}),
        ("redis_address_malformed", {"redis_url": f"redis://u:{CANARY}/x@h"}),
        ("redis_address_malformed", {"redis_url": f"redis://:12/{CANARY}@h"}),
        ("redis_address_malformed", {"redis_url": f"redis://u:12?{CANARY}@h"}),
        ("redis_address_malformed", {"redis_url": f"redis://u:12#{CANARY}@h"}),
        ("redis_address_malformed", {"redis_url": f"redis://u:{CANARY}@[h"}),
        ("redis_address_malformed", {"redis_url": CANARY}),
        *(
            ("redis_address_malformed", {"redis_url": f"{scheme}://{rest}"})
            for scheme in ("redis", "rediss")
            for rest in (
                f"worker%3A{CANARY}%40127.0.0.1:6379/0",
                f"%3A{CANARY}%40127.0.0.1:6379/0",
                CANARY,
                f"{CANARY}/0",
                "127.0.0.1:66666/0",
                "[127.0.0.1]:6379/0",
            )
        ),
        ("redis_address_malformed", {"redis_url": f"rediss+sentinel://u%3A{CANARY}%40a:1,b:2/main"}),
        ("redis_address_malformed", {"redis_url": f"rediss+sentinel://a:1/u%3A{CANARY}%40b"}),
        ("redis_address_malformed", {"redis_url": f"rediss+cluster://a:1,u%3A{CANARY}%40b:2"}),
        ("redis_address_malformed", {"redis_url": f"redis+{CANARY}://a:1"}),
        ("redis_address_malformed", {"redis_url": f"unix://u:{CANARY}"}),
        ("redis_address_malformed", {"redis_url": f"unix:///u%3A{CANARY}%40/run/redis.sock"}),
        ("redis_plaintext_refused", {"redis_url": "redis+sentinel://127.0.0.1:26379,10.0.0.2:26379/main/0"}),
        ("redis_tls_in_url", {"redis_url": "rediss://h:6379?ssl_cert_reqs=none"}),
        ("secret_given_twice", {"redis_url": f"rediss://:{CANARY}@h", "redis_password": CANARY}),
        ("secret_given_twice", {"redis_url": f"rediss://u:{CANARY}@h", "redis_username": "worker"}),
        ("redis_credentials_missing", {"redis_username": "worker"}),
        ("redis_tls_unused", {"redis_tls_ca_file": "ca.pem"}),
        (
            "redis_certificate_without_key",
            {"redis_url": "rediss://h:6379", "redis_tls_certificate_file": "c.pem"},
        ),
        ("secret_file_unreadable", {"redis_password_file": "no/such/file"}),
    ],
)
def test_settings_when_unsafe_or_impossible_together_then_refused_with_a_code_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, code: str, given: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(monkeypatch, given)
    assert str(refused.value).startswith(f"{code}: ")
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"kafka_bootstrap_servers": "localhost:1,127.8.9.1:2,[::1]:3"},
        {**AWAY, "kafka_plaintext_allowed": "true"},
        {**AWAY, "kafka_security_protocol": "SSL"},
        {**AWAY, **SASL},
        {**SASL, "kafka_security_protocol": "SASL_PLAINTEXT"},
        {
            **AWAY,
            "kafka_security_protocol": "SSL",
            "kafka_tls_certificate_file": "c",
            "kafka_tls_key_file": "k",
        },
        {"redis_url": "redis://localhost", "redis_username": "worker", "redis_password": CANARY},
        {"redis_url": "redis://redis:6379/0", "redis_plaintext_allowed": "true"},
        {"redis_url": f"rediss://worker:{CANARY}@redis:6380/0", "redis_tls_ca_file": "ca.pem"},
        {"redis_url": "unix:///run/redis.sock"},
        {"redis_url": f"rediss+cluster://u:{CANARY}@redis-1:6379,[fd00::2]:6379"},
    ],
    ids=str,
)
def test_settings_when_safe_then_taken_and_no_secret_shown(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    assert CANARY not in repr(load(monkeypatch, given))


@pytest.mark.parametrize(
    "endpoint",
    [
        CANARY,
        f"ftp://{CANARY}",
        f"http://u:{CANARY}@collector:4318/v1/traces",
        f"http://u%3A{CANARY}%40collector:4318/v1/traces",
        f"http://u:{CANARY}",
        "http://collector:99999/v1/traces",
        "http:///v1/traces",
    ],
)
def test_endpoint_of_traces_when_it_is_none_or_has_a_login_then_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    with pytest.raises(SettingsError, match=r"^UNIMARGIN_TRACES_ENDPOINT: ") as refused:
        load(monkeypatch, {"traces_endpoint": endpoint})
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["", "http://collector:4318/v1/traces", "https://[fd00::1]/v1/traces"])
def test_endpoint_of_traces_when_it_is_one_or_nothing_then_taken(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    assert load(monkeypatch, {"traces_endpoint": endpoint}).traces_endpoint == endpoint


def test_settings_when_listed_then_every_secret_has_a_file_of_its_own() -> None:
    fields = ConnectionSettings.model_fields
    assert {it for it in fields if "password" in it and not it.endswith("_file")} | {"redis_url"} == set(
        SECRETS
    )
    assert all(f"{it}_file" in fields for it in SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_secret_when_in_a_file_then_read_without_its_line_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    context = {
        "kafka_sasl_password": {**SASL, "kafka_sasl_password": ""},
        "kafka_tls_key_password": {
            "kafka_security_protocol": "SSL",
            "kafka_tls_certificate_file": "c",
            "kafka_tls_key_file": "k",
        },
        "redis_tls_key_password": {
            "redis_url": "rediss://h:6379",
            "redis_tls_certificate_file": "c",
            "redis_tls_key_file": "k",
        },
    }
    secret = f"rediss://:{CANARY}@h/0" if name == "redis_url" else CANARY
    file = tmp_path / "secret"
    file.write_text(f"{secret}\r\n")
    settings = load(monkeypatch, {f"{name}_file": str(file), **context.get(name, {})})
    assert getattr(settings, name).get_secret_value() == secret
    monkeypatch.setenv(variable(name), secret)
    with pytest.raises(SettingsError, match=r"^secret_given_twice: ") as refused:
        load_settings()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_secret_when_its_file_holds_none_then_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(
        SettingsError, match=rf"^secret_file_unreadable: UNIMARGIN_REDIS_PASSWORD_FILE: {file}"
    ):
        load(monkeypatch, {"redis_password_file": str(file)})


def test_option_when_it_names_another_machine_in_clear_then_refused_as_a_setting_is() -> None:
    with pytest.raises(SettingsError, match=r"^kafka_plaintext_refused: "):
        settings_with(load_settings(), AWAY)
    allowed = settings_with(load_settings(), {**AWAY, "kafka_plaintext_allowed": True})
    assert allowed.kafka_bootstrap_servers == AWAY["kafka_bootstrap_servers"]
