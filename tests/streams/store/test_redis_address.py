"""The forms of addresses, as other libraries write them, and that nothing of a login is ever said."""

import pytest

from streams.config.redis_address import Kind, read_address
from streams.config.settings import Settings, SettingsError, load_settings
from streams.store.connection_options import connection_options
from streams.store.redis_access import address

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service", "options"),
    [
        (
            "redis+sentinel://a:26379,b:26380/margin/2",
            Kind.SENTINEL,
            [("a", 26379), ("b", 26380)],
            "margin",
            {"db": 2},
        ),
        (
            "redis+sentinel://a,[::1]:26380/margin",
            Kind.SENTINEL,
            [("a", 26379), ("::1", 26380)],
            "margin",
            {},
        ),
        (
            "redis+sentinel://u%40x:p%2Fq@a/margin?max_connections=7",
            Kind.SENTINEL,
            [("a", 26379)],
            "margin",
            {"username": "u@x", "password": "p/q", "max_connections": 7},
        ),
        ("redis+cluster://a:7000,b", Kind.CLUSTER, [("a", 7000), ("b", 6379)], "", {}),
        ("redis+cluster://:p@a:7000/0", Kind.CLUSTER, [("a", 7000)], "", {"password": "p", "db": 0}),
        (
            "redis://u:p@a:1/3",
            Kind.SERVER,
            [("a", 1)],
            "",
            {"username": "u", "password": "p", "host": "a", "port": 1, "db": 3},
        ),
    ],
)
def test_address_when_of_a_known_form_then_read(url, kind, hosts, service, options):
    read = read_address(url)
    assert (read.kind, read.hosts, read.service) == (kind, hosts, service)
    assert connection_options(read, {}).server == options


@pytest.mark.parametrize("form", ["rediss+sentinel://a:1/margin", "rediss+cluster://a:1", "rediss://a:1"])
def test_address_when_by_tls_then_its_connections_are(form):
    options = connection_options(read_address(form), {}).server
    assert options["connection_class"].__name__ == "SSLConnection"


def test_address_when_sentinels_have_a_login_of_their_own_then_it_is_theirs_alone():
    read = read_address("redis+sentinel://u:p@a/margin?sentinel_username=s&sentinel_password=t")
    found = connection_options(read, {"socket_keepalive": True})
    assert found.sentinel == {"username": "s", "password": "t"}
    assert found.server == {"username": "u", "password": "p", "socket_keepalive": True}


@pytest.mark.parametrize(
    "url",
    [
        f"redis+sentinel://:{SECRET}@a:26379",
        f"redis+sentinel://:{SECRET}@a:port/margin",
        f"redis+sentinel://:{SECRET}@a/margin/one",
        f"redis+cluster://:{SECRET}@a/1",
        f"redis+cluster://:{SECRET}@a,,b",
        f"redis+other://:{SECRET}@a",
        f"http+cluster://:{SECRET}@a",
        f"redis:{SECRET}@a",
        f"redis://:12/{SECRET}@a",
        f"redis://u:12?{SECRET}@a",
        f"redis://u:12#{SECRET}@a",
    ],
)
def test_address_when_of_no_form_then_a_message_with_the_forms_and_without_the_password(url, monkeypatch):
    monkeypatch.setenv("UNIMARGIN_REDIS_URL", url)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "redis+cluster://" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            f"redis+sentinel://u:{SECRET}@a:1,b:2/margin/0?sentinel_password={SECRET}",
            "redis+sentinel://a:1,b:2/margin/0",
        ),
        (f"redis+cluster://u:{SECRET}@a:1,b:2", "redis+cluster://a:1,b:2"),
        (f"redis://u:{SECRET}@[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_address_when_said_then_without_login_and_options(url, said):
    assert address(Settings(redis_url=url, redis_plaintext_allowed=True)) == said
