"""Faust's words for how Kafka's clients are secured.

Faust has no setting for the protocol: it concludes it from what it is given, and without an SSL context it concludes SASL_PLAINTEXT, in
silence. So what it concludes is compared with what the settings say.
"""

import faust
from faust.auth import OAuthCredentials
from faust.types.auth import CredentialsT

from streams.config.connection_settings import OAUTH
from streams.config.settings import Settings
from streams.kafka.kafka_security import security_options


def group_credentials(settings: Settings) -> CredentialsT | None:
    """What Faust is to be given; None for a connection in clear. Raises `SettingsError` for a file that cannot be used."""
    options = security_options(settings)
    protocol, context = options["security_protocol"], options.get("ssl_context")
    credentials: CredentialsT
    if "SASL" not in protocol:
        if context is None:
            return None
        credentials = faust.SSLCredentials(context)
    elif options["sasl_mechanism"] == OAUTH:
        credentials = OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    else:
        credentials = faust.SASLCredentials(
            mechanism=options["sasl_mechanism"],
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
        )
    if credentials.protocol.value != protocol:
        raise AssertionError(f"Faust would speak {credentials.protocol.value} and not {protocol}")
    return credentials
