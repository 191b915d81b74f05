"""What the rule book says: one frozen table per subject, each field with its meaning and unit.

Knows numbers only. `document.Policy` is the whole; reading and checking files is `engine.policy.reading`.
"""
