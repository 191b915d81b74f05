"""What can be wrong with a feed from its user's side; each message is written for that person."""


class FeedError(RuntimeError):
    """The feed cannot start or go on: an option makes no sense, or the broker is away."""


class RecordingError(FeedError):
    """A recording cannot be read; the message names the file, the line (1 is the header) and the rule."""


class BrokerError(FeedError):
    """The broker cannot be reached, or refused a message."""
