"""Real servers for the tests: Apache Kafka from Maven Central, redis-server from the system."""
