"""What travels: bytes to typed messages, events as CloudEvents, the quarantine record, one commit, the topic layout.

Knows config and the engine; pure, no I/O but reading the layout file.
"""
