"""`unimargin breaker`."""
