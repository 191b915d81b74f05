"""The TLS side of a client: whom it trusts, and the certificate it shows."""

import ssl
from pathlib import Path
from typing import Literal

from streams.config.settings import Settings, SettingsError


def tls_context(settings: Settings, server: Literal["kafka", "redis"]) -> ssl.SSLContext:
    """A context that checks the server's certificate and its host name, TLS 1.2 or newer.

    It trusts the authorities of the settings and no other; without any, those of this machine. Raises `SettingsError` naming the file
    that cannot be used.
    """
    authority: Path | None = getattr(settings, f"{server}_tls_ca_file")
    certificate: Path | None = getattr(settings, f"{server}_tls_certificate_file")
    key: Path | None = getattr(settings, f"{server}_tls_key_file")
    password = getattr(settings, f"{server}_tls_key_password").get_secret_value()
    prefix = f"UNIMARGIN_{server.upper()}_TLS"
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:  # an ssl.SSLError too
        raise _unusable(f"{prefix}_CA_FILE: {authority}", error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            # with a function, for without any password OpenSSL would ask the terminal
            context.load_cert_chain(certificate, key, lambda: password)
        except OSError as error:
            raise _unusable(
                f"{prefix}_CERTIFICATE_FILE, {prefix}_KEY_FILE: {certificate}, {key}", error
            ) from None
    return context


def _unusable(which: str, error: OSError) -> SettingsError:
    words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return SettingsError(f"tls_file_unusable: {which}: {words or error}")
