"""A shard's durable state in Redis: the atomic commit and its Lua, fences, reading without owning.

Knows config, contract and metrics; no Kafka.
"""
