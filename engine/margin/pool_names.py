"""How the pools of an account are named."""

CROSS = ""
"""Key of the cross pool among an account's pools; an isolated position is known by its position key."""
