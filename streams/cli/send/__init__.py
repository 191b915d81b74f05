"""`unimargin send`: one message, as a producer of the exchange would send it."""
