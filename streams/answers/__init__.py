"""What a desk asks, answered: from accounts, marks and risk records as they lie in Redis, by the engine's own functions.

The command line and the HTTP API give the same answers because both ask here. Reports are pure; files that end in `_read` read Redis.
"""
