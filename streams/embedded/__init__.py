"""Kafka and Redis on this machine without Docker: for the demo, the tests and a first look.

`broker` serves the Kafka protocol from memory (librdkafka's mock cluster), `redis` runs a real redis-server. Each
runs in a process of its own that cannot outlive the one that started it. Neither is for production.
"""
