"""A long run with faults: `make soak`. Its last report lies beside it."""
