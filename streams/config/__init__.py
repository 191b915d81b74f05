"""Settings, logs, and what every command shares: how a mistake is told and how things are shown.

Knows the engine; every other folder may import it.
"""
