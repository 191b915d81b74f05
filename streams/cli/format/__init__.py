"""`unimargin format`."""
