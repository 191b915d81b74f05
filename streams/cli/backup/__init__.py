"""`unimargin backup`."""
