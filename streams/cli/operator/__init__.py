"""`unimargin operator`."""
