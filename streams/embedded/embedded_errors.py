"""The one error of the embedded services."""


class EmbeddedServiceError(RuntimeError):
    """A local Kafka or Redis could not be found, started or used; the message carries what the server said."""
