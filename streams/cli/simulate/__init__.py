"""A simulated exchange, and the plain feed."""
