"""Tests of the promise on a real Apache Kafka and a real Redis: kills, rebalances, restarts."""
