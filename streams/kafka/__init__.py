"""Kafka: how every client is configured (in one place), where logs end, reading stretches and whole topics.

Knows config and the contract; no shard, no Faust.
"""
