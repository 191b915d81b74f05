"""The shell around the engine: everything that touches Kafka, Redis, HTTP, files or the terminal."""
