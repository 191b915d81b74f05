"""Deterministic simulation: whole lives of a shard in one thread, on virtual time, in an order that a seed draws."""
