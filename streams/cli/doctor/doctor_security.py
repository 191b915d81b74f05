"""The check of `unimargin doctor` that looks at how both connections are secured; what breaks a rule is refused before it comes here."""

from streams.cli.doctor.check import Check, ok, warn
from streams.config.connection_settings import kafka_in_clear, redis_in_clear
from streams.config.redis_address import read_address
from streams.config.settings import Settings

CHECK = "encryption"


def examine_security(settings: Settings) -> Check:
    """Whether anything leaves this machine in clear, or may."""
    protocol = settings.kafka_security_protocol
    redis = read_address(settings.redis_url.get_secret_value()).transport
    how = f" ({settings.kafka_sasl_mechanism})" if "SASL" in protocol else ""
    found = f"Kafka by {protocol}{how}, Redis by {redis}://"
    allowed = [
        name
        for name, clear, may in (
            ("UNIMARGIN_KAFKA_PLAINTEXT_ALLOWED", "SSL" not in protocol, settings.kafka_plaintext_allowed),
            ("UNIMARGIN_REDIS_PLAINTEXT_ALLOWED", redis == "redis", settings.redis_plaintext_allowed),
        )
        if clear and may
    ]
    if not allowed:
        return ok(CHECK, found)
    leaves = [
        words
        for words, hosts in (("to Kafka", kafka_in_clear(settings)), ("to Redis", redis_in_clear(settings)))
        if hosts
    ]
    said = (
        f"none {' and '.join(leaves)}, on another machine"
        if leaves
        else "what is in clear may leave this machine"
    )
    return warn(CHECK, f"{found}; {said}", f"use TLS, and switch {' and '.join(allowed)} off: SECURITY.md")
