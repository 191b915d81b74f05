"""European options: Black-76, short options one by one, and the option groups of a pool outside of portfolio margin."""
