"""The demo: a whole exchange day's worst minute on one machine, from real parts, watched from outside."""
