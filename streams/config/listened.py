"""Whether anybody listens to operators: a command that nobody hears must not look as if it were given."""

from streams.config.settings import Settings, SettingsError


def check_listened(settings: Settings) -> None:
    """Raise `SettingsError` where the workers of this deployment listen to no operator."""
    if not settings.operator_topic_enabled:
        raise SettingsError(
            "UNIMARGIN_OPERATOR_TOPIC_ENABLED is off: the workers listen to no operator, so nothing was sent"
        )
