"""The exchange's side of Kafka: writing marks and inputs, hearing events, taking up again after a restart."""
