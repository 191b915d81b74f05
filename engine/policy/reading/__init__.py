"""From text to a checked rule book: TOML, the rules that every policy keeps, and venues' own files.

Knows `engine.policy.rules`. What comes out of `parse` is a policy that the engine can compute with.
"""
