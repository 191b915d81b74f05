"""The relay: what is committed reaches Kafka, at least once, in order, under the same ids.

Knows contract, metrics and store.
"""
