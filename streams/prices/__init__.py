"""Reading price records from every partition, and offering them to the engine's belief once per worker.

Knows contract, metrics and Kafka; judging is handed in as a function.
"""
