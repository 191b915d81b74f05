"""Why a Redis that answers does not take us, in words that begin with a code."""

import ssl

import redis.exceptions as errors

HINT = "deploy/redis/security.md"


def refused(error: Exception) -> str | None:
    """What TLS, the password or the rights have against us: waiting mends nothing. None for every other error."""
    match error:
        case errors.NoPermissionError():
            return f"redis_not_allowed: {error}; which rights does this user have ({HINT})?"
        case errors.AuthenticationError() | errors.AuthorizationError():
            return f"redis_authentication_failed: {error}; user or password are not what Redis knows"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "is UNIMARGIN_REDIS_TLS_CA_FILE its authority, and this its name?"
            return f"redis_certificate_refused: {cause.verify_message}; {hint}"
        cause = cause.__cause__ or cause.__context__
    return None
